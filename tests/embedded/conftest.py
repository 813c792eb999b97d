"""One embedded Earth for the session: a server with a log of its own; what it renders, all processes of the run share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from curation import embedded


@dataclass(frozen=True)
class Earth:
    url: str
    cache: Path
    log: Path


@pytest.fixture(scope="session")
def earth(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Earth]:
    cache, log = run_folder / "earth", tmp_path_factory.mktemp("earth") / "requests.jsonl"
    cache.mkdir(exist_ok=True)
    with embedded.serve(cache, log=log) as url:
        yield Earth(url, cache, log)
