"""One patch as forms are given it: its pixels, each chunk checked, where they lie, and what is known of them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from curation.cubes.cube import Cube
from curation.errors.printable import storable
from curation.model import STATIC, Location, iso
from curation.outcomes import PatchOutcome, Status
from curation.places import grid
from curation.recipe.facts import FILL
from curation.recipe.sources import ArraySpec, SourceSpec
from curation.store.objects import Store

STATUS, REASON = "status", "reason"
"""Of a source that has pixels: nothing to be told."""

_TIMES = re.compile(r"\s*×\s*([0-9]+(?:\.[0-9]+)?)$")
"""How units end of what is stored a number of times: `reflectance × 10000`."""


@dataclass(frozen=True, slots=True)
class ExportPatch:
    """A patch that is ok."""

    store: Store
    """The dataset's folder."""
    cube: Cube
    """Without its locations."""
    place: Location
    number: int
    """In the cube."""
    outcome: PatchOutcome
    facts: Mapping[str, Any]
    """What was measured of it, proven by its ledger."""

    @property
    def name(self) -> str:
        """`REGION/SEASON/ID`, as ledgers and logs have it."""
        return f"{self.cube.name}/{self.place.id}"

    @property
    def arrays(self) -> dict[str, tuple[SourceSpec, ArraySpec]]:
        """Its pixel arrays, by name; those of sources that it lacks are none of them."""
        return {n: self.cube.arrays[n] for n in sorted(self.outcome.chunks)}

    def pixels(self, name: str) -> NDArray[Any]:
        """(band, y, x) of an array in its stored dtype, checked against the ledger's hash.

        Raises:
            DamageError: the chunk is not there, or is not what was committed.
        """
        return self.cube.read_chunk(self.store, name, self.number, self.outcome.chunks[name])

    def transform(self, name: str) -> Affine:
        """From column and row of an array to its CRS."""
        found: Affine = grid.geobox(self.place, self.cube.arrays[name][1].step(self.place.size_m)).transform
        return found

    def time(self, source: str) -> dt.datetime | None:
        """When a source was sensed, UTC; None where that is not known, or it has no time."""
        seconds = self.facts.get(f"{source}_time")
        return None if seconds is None else dt.datetime.fromtimestamp(round(float(seconds), 3), dt.UTC)

    def scenes(self, source: str) -> tuple[str, ...]:
        """Ids of the scenes that a source's pixels come from."""
        its = self.outcome.sources.get(source)
        # Whatever a catalog calls its items: no URL that may be signed goes on from here.
        return tuple(map(storable, its.scenes)) if its is not None and its.status is Status.OK else ()

    def span(self) -> tuple[dt.datetime, dt.datetime]:
        """From when until when its pixels are: as its sources were sensed, else its season; of `static` all seasons."""
        dataset = self.cube.dataset
        times = [t for name in self.outcome.sources if (t := self.time(name)) is not None]
        if not times:
            seasons = dataset.season_names() if self.cube.season == STATIC else [self.cube.season]
            windows = [w for s in seasons if (w := dataset.recipe.season(s).window(self.place)) is not None]
            times = [t for w in windows for t in (w.start, w.end - dt.timedelta(milliseconds=1))]
        return min(times), max(times)

    def tags(self, name: str) -> dict[str, str]:
        """What is told beside an array's pixels, as text: where they come from, and what was measured of them."""
        spec, array = self.cube.arrays[name]
        when = self.time(spec.name)
        own = f"{spec.name}_"
        measured = {k.removeprefix(own): _text(v) for k, v in self.known().items() if k.startswith(own)}
        described = {
            "dataset": self.cube.dataset.name,
            "title": self.cube.dataset.recipe.title,
            "patch": self.name,
            "region": self.cube.region,
            "season": self.cube.season,
            "location": self.place.id,
            "source": spec.name,
            "source_title": spec.title,
            "array": name,
            "units": array.unit,
            "role": array.role,
            "scenes": " ".join(self.scenes(spec.name)),
            "time": "" if when is None else iso(when),
            "licence": spec.licence,
            "comment": spec.comment,
            "chunk_xxh3_128": self.outcome.chunks[name],
        }
        apart = (STATUS, REASON)
        return {k: v for k, v in (measured | described).items() if v and k not in apart}

    def known(self) -> dict[str, Any]:
        """Its facts that were measured."""
        types = {f.name: f.type for f in self.cube.facts}
        unknown = {"string": FILL["string"], "int16": FILL["int16"]}
        return {
            k: v
            for k, v in self.facts.items()
            if v is not None and (isinstance(v, np.ndarray) or v != unknown.get(types[k]))
        }

    def is_codes(self, name: str) -> bool:
        """Whether an array holds codes, which nobody may average."""
        return self.cube.arrays[name][1].role in ("mask", "classes")

    def codes(self, name: str) -> dict[int, tuple[str, str | None]]:
        """Code → name and colour (`#rrggbb`, where there is one) of an array of codes; empty of another."""
        spec, array = self.cube.arrays[name]
        if array.is_mask and spec.legend is not None:
            return {c.code: (c.name, c.colour) for c in spec.legend.codes}
        return {c.code: (c.name, c.colour) for c in spec.kind.legend} if self.is_codes(name) else {}


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return " ".join(f"{v:.6g}" for v in value.tolist())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def scale_of(unit: str) -> float:
    """What stored numbers of a unit are to be multiplied by: 0.0001 of `reflectance × 10000`, else 1."""
    found = _TIMES.search(unit)
    return 1 / float(found[1]) if found else 1.0


def quantity(unit: str) -> str:
    """The unit of stored numbers once they are scaled: `reflectance` of `reflectance × 10000`."""
    return _TIMES.sub("", unit)
