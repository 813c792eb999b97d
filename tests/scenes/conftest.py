"""The catalog that misbehaves, served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from curation.recipe.dataset import Dataset, load_dataset
from curation.scenes import api as search_api
from tests.loopback import serving
from tests.scenes.catalog import Served, item


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Served, str]]:
    monkeypatch.setattr(search_api, "BACKOFF_S", 0)
    made = Served([item(f"s{n:02d}") for n in range(10)])
    with serving(made.answer) as url:
        yield made, url


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("starter")
