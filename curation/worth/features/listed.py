"""Features of a table of the user's: a Parquet file with key, season and vector, made wherever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.format.index import ArrayEntry
from curation.pack import vectors
from curation.pack.vectors import VectorTable
from curation.worth.features.patches import FeaturePatch
from curation.worth.features.table import Vectors

SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True)
class ListedVectors:
    """Key and season → vector; a row whose season is empty is of all seasons of the sample."""

    file: str
    table: VectorTable

    @property
    def name(self) -> str:
        """The file's, without its end."""
        return "".join(c if c.isalnum() or c in "_-" else "-" for c in Path(self.file).stem.lower())

    @property
    def settings(self) -> Any:
        """The hash of the file."""
        return {"sha256": self.table.sha256}

    def prepared(self, arrays: Mapping[str, ArrayEntry]) -> ListedVectors:
        """Whatever arrays there are: vectors were made of them elsewhere."""
        return self

    def names(self) -> tuple[str, ...]:
        """One for each number, `<name>000` and so on."""
        return tuple(f"{self.name}{n:03d}" for n in range(self.table.values.shape[1]))

    def vectors(self, patches: Sequence[FeaturePatch]) -> Vectors:
        """(n, D); NaN of patches that the table has no row of."""
        out = np.full((len(patches), self.table.values.shape[1]), np.nan, np.float32)
        for n, patch in enumerate(patches):
            found = self.table.of(patch.key, patch.season)
            if found is not None:
                out[n] = found
        return out


def read(file: str) -> ListedVectors:
    """The vectors of a file.

    Raises:
        ConfigError: there is no such file, or it is no such table.
    """
    return ListedVectors(file, vectors.read(Path(file), f"--with {file}"))
