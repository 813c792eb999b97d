"""One embedded Earth for the session: a server process with a cache and a request log of its own."""

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
def earth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Earth]:
    folder = tmp_path_factory.mktemp("earth")
    cache, log = folder / "cache", folder / "requests.jsonl"
    with embedded.serve(cache, log=log) as url:
        yield Earth(url, cache, log)
