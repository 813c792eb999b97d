"""One patch as forms are given it: its pixels, each chunk checked, where they lie, and what is known of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from curation.cubes.arrays import python
from curation.cubes.chunks import each_hash
from curation.cubes.cube import Cube
from curation.errors.printable import storable
from curation.model import STATIC, Location, iso
from curation.outcomes import PatchOutcome
from curation.places import grid
from curation.recipe import synthetic
from curation.recipe.arrays import ArraySpec
from curation.recipe.facts import FILL, step_axis
from curation.recipe.sources import SourceSpec
from curation.store.objects import Store

STATUS, REASON = "status", "reason"
"""Of a source that has pixels: nothing to be told."""


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
    asked: Mapping[str, str] = field(default_factory=dict)
    """Source → identity of the catalog that its scenes are of."""

    @property
    def name(self) -> str:
        """`REGION/SEASON/ID`, as ledgers and logs have it."""
        return f"{self.cube.name}/{self.place.id}"

    @property
    def arrays(self) -> dict[str, tuple[SourceSpec, ArraySpec]]:
        """Its pixel arrays, by name; those of sources that it lacks are none of them."""
        return {n: self.cube.arrays[n] for n in sorted(self.outcome.chunks)}

    def layers(self) -> Iterator[Layer]:
        """Its pixels (band, y, x) by array; of an array with a time axis by step."""
        for name, hashes in sorted(self.outcome.chunks.items()):
            count = len(each_hash(hashes))
            steps: Iterable[int | None] = range(count) if self.cube.steps(name) else [None]
            yield from (Layer(self, name, step) for step in steps)

    def transform(self, name: str) -> Affine:
        """From column and row of an array to its CRS."""
        found: Affine = grid.geobox(self.place, self.cube.arrays[name][1].step(self.place.size_m)).transform
        return found

    def times(self, source: str) -> list[dt.datetime]:
        """When a source was sensed, UTC: at each step, of one with a time axis; none where that is not known."""
        seconds = np.atleast_1d(np.asarray(self.facts.get(f"{source}_time", np.nan), np.float64))
        return [dt.datetime.fromtimestamp(round(s, 3), dt.UTC) for s in seconds.tolist() if np.isfinite(s)]

    def scenes(self, source: str) -> tuple[str, ...]:
        """Ids of the scenes that a source's pixels come from; in order of steps, of one with a time axis."""
        # Whatever a catalog calls its items: no URL that may be signed goes on from here.
        return tuple(map(storable, self.outcome.sources[source].scenes)) if self.outcome.has(source) else ()

    def span(self) -> tuple[dt.datetime, dt.datetime]:
        """From when until when its pixels are: as its sources were sensed, else its season; of `static` all seasons."""
        dataset = self.cube.dataset
        times = [t for name in self.outcome.sources for t in self.times(name)]
        if not times:
            seasons = dataset.season_names() if self.cube.season == STATIC else [self.cube.season]
            windows = [w for s in seasons if (w := dataset.recipe.season(s).window(self.place)) is not None]
            times = [t for w in windows for t in (w.start, w.end - dt.timedelta(milliseconds=1))]
        return min(times), max(times)


@dataclass(frozen=True, slots=True)
class Layer:
    """One array of a patch, at one step where it has a time axis: what becomes a file."""

    patch: ExportPatch
    name: str
    """The array's."""
    step: int | None = None

    @property
    def spec(self) -> SourceSpec:
        """Its source."""
        return self.patch.cube.arrays[self.name][0]

    @property
    def array(self) -> ArraySpec:
        """Its form."""
        return self.patch.cube.arrays[self.name][1]

    @property
    def label(self) -> str:
        """`<array>`, or `<array>-<step>`, counted from 0: its files' names have it."""
        return self.name if self.step is None else f"{self.name}-{self.step:03d}"

    @property
    def transform(self) -> Affine:
        """From column and row to the CRS."""
        return self.patch.transform(self.name)

    def pixels(self) -> NDArray[Any]:
        """(band, y, x) in the stored dtype, checked against the ledger's hash.

        Raises:
            DamageError: the chunk is not there, or is not what was committed.
        """
        its = self.patch
        return its.cube.read_chunk(its.store, self.name, its.number, its.outcome.chunks[self.name], self.step)

    def tags(self) -> dict[str, str]:
        """What is said beside the pixels, as text: where they come from, and what was measured of them."""
        patch, cube, spec = self.patch, self.patch.cube, self.spec
        times, scenes = patch.times(spec.name), patch.scenes(spec.name)
        if self.step is not None:
            times, scenes = times[self.step : self.step + 1], scenes[self.step : self.step + 1]
        own = f"{spec.name}_"
        measured = {k.removeprefix(own): _text(v) for k, v in self._measured().items() if k.startswith(own)}
        described = {
            "dataset": cube.dataset.name,
            "title": cube.dataset.recipe.title,
            "patch": patch.name,
            "region": cube.region,
            "season": cube.season,
            "location": patch.place.id,
            "source": spec.name,
            "source_title": spec.title,
            "array": self.name,
            "step": "" if self.step is None else str(self.step),
            "units": self.array.unit,
            "role": self.array.role,
            "scenes": " ".join(scenes),
            "time": " ".join(map(iso, times)),
            "licence": spec.licence,
            "synthetic": synthetic.about({k: v for k, v in patch.asked.items() if k == spec.name}),
            "comment": spec.comment,
            "chunk_xxh3_128": each_hash(patch.outcome.chunks[self.name])[self.step or 0],
        }
        return {k: v for k, v in (measured | described).items() if v and k not in (STATUS, REASON)}

    def _measured(self) -> dict[str, Any]:
        """Facts of its patch that were measured; of those along the time axis what holds of the step."""
        axis, out = step_axis(self.spec.name), dict[str, Any]()
        for fact in self.patch.cube.facts:
            value = self.patch.facts.get(fact.name)
            if value is not None and fact.axis == axis and self.step is not None:
                value = python(value[self.step], dataclasses.replace(fact, axis=None))
            unknown = FILL[fact.type] if fact.type in ("string", "int16") else None
            if value is not None and (isinstance(value, np.ndarray) or value != unknown):
                out[fact.name] = value
        return out

    @property
    def is_codes(self) -> bool:
        """Whether it holds codes, which nobody may average."""
        return self.array.role in ("mask", "classes")

    def codes(self) -> dict[int, tuple[str, str | None]]:
        """Code → name and colour (`#rrggbb`, where there is one) of an array of codes; empty of another."""
        if self.array.is_mask and self.spec.legend is not None:
            return {c.code: (c.name, c.colour) for c in self.spec.legend.codes}
        return {c.code: (c.name, c.colour) for c in self.spec.kind.legend} if self.is_codes else {}


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return " ".join(f"{v:.6g}" for v in value.tolist())
    return f"{value:.6g}" if isinstance(value, float) else str(value)
