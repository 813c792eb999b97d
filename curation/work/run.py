"""What the stages of a run share."""

from __future__ import annotations

from dataclasses import dataclass

from distributed import Client

from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset
from curation.store.objects import Store


@dataclass(frozen=True, slots=True)
class Run:
    """What the stages share."""

    dataset: Dataset
    catalogs: Catalogs
    store: Store
    """The dataset's folder: `<root>/<dataset>`."""
    client: Client | None = None
    """None: work in this process."""
    limit: int | None = None
    """Only the first so many locations of each cube."""
    refresh_search: bool = False
