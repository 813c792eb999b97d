"""What is probed: the rows that features and labels are of, a sample in a season each. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.places.grids import Floats, Ints

Form = Literal["classes", "class", "number"]
"""Several classes of a row, one class of a row, or numbers."""

Purpose = Literal["asked", "baseline", "control"]
"""An encoder that somebody wants to know of; one that costs nothing; one that could score by a fault of the test alone."""


@dataclass(frozen=True, slots=True)
class ProbeRows:
    """Where and when each row is. What is said of a place holds for all of its rows: they are never torn apart."""

    keys: NDArray[np.str_]
    """Sample ids (n,)."""
    places: NDArray[np.str_]
    """Id of the place (n,): a sample's seasons have one, and so has a sample with its children."""
    seasons: NDArray[np.str_]
    """Names (n,); `static` of what has no time."""
    lon: Floats
    """Degrees (n,)."""
    lat: Floats
    splits: NDArray[np.str_]
    """Side of the dataset's split (n,)."""
    domains: dict[str, NDArray[np.str_]] = field(default_factory=dict)
    """What rows are grouped by: name → text of each (n,), empty where it is not told."""

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.bool_] | Ints) -> Self:
        """Some of them."""
        names = ("keys", "places", "seasons", "lon", "lat", "splits")
        domains = {name: values[rows] for name, values in self.domains.items()}
        return type(self)(**{n: getattr(self, n)[rows] for n in names}, domains=domains)


@dataclass(frozen=True, slots=True)
class ProbeTask:
    """What is to be told of each row."""

    name: str
    """What a person calls it: `seasonal labels`, a column's name."""
    form: Form
    names: tuple[str, ...]
    """Of the columns of `values`: classes, or one name of each number."""
    values: Floats
    """(n, k): 0 and 1 of classes, numbers as they are; NaN in all of a row of which it is not known."""

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Of which rows it is known (n,)."""
        out: NDArray[np.bool_] = ~np.any(np.isnan(self.values), axis=1)
        return out

    def take(self, rows: NDArray[np.bool_] | Ints) -> ProbeTask:
        """The task of some rows."""
        return ProbeTask(self.name, self.form, self.names, self.values[rows])


@dataclass(frozen=True, slots=True)
class ProbedEncoder:
    """Features of all rows by one encoder."""

    name: str
    values: NDArray[np.floating]
    """(n, d), finite."""
    purpose: Purpose = "asked"
    digest: str = ""
    """Of what made them; empty where nothing is known of that."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not self.values.shape[1]:
            raise ConfigError(
                f"features {self.name}: got shape {self.values.shape}, expected (rows, at least 1 feature)"
            )
        if len(bad := np.argwhere(~np.isfinite(self.values))):
            row, column = bad[0].tolist()
            raise ConfigError(
                f"features {self.name}: {len(bad)} numbers are not finite, the first in row {row}, feature {column}: a "
                "probe would take them for something; leave such rows out, or mend what makes them"
            )
