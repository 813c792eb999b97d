"""What the steps of a dataset's folder share, whichever file they stand in: what `curation.load` gives is made of them."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from curation.errors import ConfigError
from curation.errors.printable import printable
from curation.places.regions import Region
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset
from curation.store.objects import Store


class Steps(ABC):
    """A dataset where it is made."""

    __slots__ = ()

    dataset: Dataset
    scheduler: str
    workers: int | None

    @property
    @abstractmethod
    def store(self) -> Store:
        """The dataset's folder."""

    @abstractmethod
    def _catalogs(self) -> Catalogs: ...

    @abstractmethod
    def _check_writable(self, store: Store) -> None: ...

    @abstractmethod
    def _asked(self, region: str | Path) -> Sequence[Region]: ...


@contextlib.contextmanager
def naming(flag: str, value: str | Path) -> Iterator[None]:
    """Tells which flag is at fault."""
    try:
        yield
    except ValueError as err:
        raise ConfigError(f"{flag} {printable(str(value))}: {err}") from err


def path_of(out: str | Path | None) -> Path | None:
    """A path that may be text."""
    return None if out is None else Path(out)
