"""The function that compares parts of packed datasets, and what it came to."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.api.results import Result, Rows
from curation.api.steps import naming, path_of
from curation.errors import ConfigError
from curation.store.objects import Store
from curation.work import telling

if TYPE_CHECKING:  # what measures wants much
    from curation.worth.distance.compare import ComparedPair, DistanceTable
    from curation.worth.distance.estimate import DistanceEstimate
    from curation.worth.distance.sides import AskedSide
    from curation.worth.features.table import Features


@dataclass(frozen=True, slots=True, repr=False)
class DistanceResult(Result):
    """Distances, and the page that shows them."""

    found: DistanceTable
    where: str = ""
    """The page's path; empty where none was asked for."""

    def to_json(self) -> str:
        """All of it."""
        return json.dumps(self.found.to_json(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)

    def rows(self) -> Rows:
        """A line for each pair and measure, of bands and labels too."""
        return [_HEAD, *(_row(pair, e) for pair in self.found.pairs for e in pair.estimates)]

    def lines(self) -> list[str]:
        """The table, of bands and labels those that tell something and the furthest, and what is told beside it."""
        shown = [(p, e) for p in self.found.pairs for e in _telling(p) if not e.refused]
        rows = [_HEAD, *(_row(p, e) for p, e in shown)]
        widths = [max(len(r[n]) for r in rows) for n in range(len(_HEAD))]
        table = ["  ".join(f"{c:{w}}" for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
        left = sum(not e.refused for p in self.found.pairs for e in p.estimates) - len(shown)
        more = [f"{left} more of bands and labels tell of no difference: --json and --out have them"] if left else []
        return [*table, *more, *self._refused(), *self.notes()]

    def _refused(self) -> list[str]:
        """Why some are not told, each reason once: of which pairs, and which measures."""
        of: dict[str, list[str]] = {}
        for pair in self.found.pairs:
            for text, names in pair.refused().items():
                of.setdefault(f"{', '.join(names)} – {text}", []).append(f"{pair.a}, {pair.b}")
        every = len(self.found.pairs)
        return [f"{'all pairs' if len(pairs) == every > 1 else '; '.join(pairs)}: {what}" for what, pairs in of.items()]

    def notes(self) -> list[str]:
        """Of what the numbers are, and where the page is."""
        its = self.found
        by = f"by {its.embedding} {its.digest[:12]}, {its.dimensions} of {its.numbers} numbers; seed {its.looks.seed}"
        alone = [f"left out: {n} has {count} places" for n, count in its.left_out.items()]
        skipped = [f"patches without features: {', '.join(f'{n} {c}' for n, c in its.skipped.items())}"]
        both = [f"{p.a} and {p.b} share {p.shared} patches" for p in its.pairs if p.shared]
        few = [
            f"{n}: so few permutations, or places, that no p is below 0.05 by Holm: --permutations, or fewer sides"
            for n in its.blunt()
        ]
        page = [f"wrote {self.where}"] if self.where else []
        made = [its.synthetic] if its.synthetic else []
        return [*made, by, *alone, *(skipped if its.skipped else []), *both, *few, *page]


_HEAD = ("A", "B", "measure", "value", "95 % over places", "no difference", "p", "p (Holm)", "places")


def _row(pair: ComparedPair, e: DistanceEstimate) -> tuple[str, ...]:
    from curation.worth.distance.page import shown

    name = f"{e.measure} {e.of}".strip()
    if e.refused:
        return (pair.a, pair.b, name, f"– {e.refused}", "", "", "", "", "")
    ends = f"{shown(e.low)} to {shown(e.high)}"
    floor = f"{shown(e.floor)} (95 %: {shown(e.floor_95)})" if math.isfinite(e.floor) else "–"
    tests = (shown(e.p), f"{shown(e.p_holm)}{' *' if e.tells else ''}")
    return (pair.a, pair.b, name, shown(e.value), ends, floor, *tests, f"{e.places_a}, {e.places_b}")


def _telling(pair: ComparedPair) -> list[DistanceEstimate]:
    """All that is of all numbers; of each band and label what tells of a difference, and the furthest of a measure."""
    from curation.worth.distance.estimate import furthest

    most = [furthest(pair.of(measure)) for measure in dict.fromkeys(e.measure for e in pair.estimates)]
    return [e for e in pair.estimates if not e.of or e.tells or e in most]


def _features(
    sides: Sequence[str],
    way: str,
    arrays: Sequence[str] | None,
    limit: int | None,
    *,
    seed: int,
    run_code: bool,
    keep: bool,
    scheduler: str,
    workers: int | None,
) -> list[tuple[AskedSide, Features]]:
    """Of each side what it asks for, and the features of its dataset, which are made once."""
    from curation.worth.distance import sides as asking
    from curation.worth.features import making

    its = making.way_of(way, seed=seed, run_code=run_code)
    of: dict[str, Features] = {}
    out: list[tuple[AskedSide, Features]] = []
    place = ""
    for asked in map(asking.parsed, sides):
        place = asked.place or place
        if not place:
            raise ConfigError(f"{asked.text}: no dataset before it: expected DATASET{asked.text}")
        if place not in of:
            store = asking.dataset_at(place)
            how: dict[str, Any] = {
                "arrays": arrays,
                "limit": limit,
                "keep": keep,
                "scheduler": scheduler,
                "workers": workers,
            }
            of[place] = making.made(store, its, **how).features
        out.append((asked, of[place]))
    return out


@telling.shown()
def distance(
    *sides: str,
    by: str | None = None,
    way: str = "handmade",
    arrays: Sequence[str] | None = None,
    limit: int | None = None,
    measures: Sequence[str] | None = None,
    dims: int | None = None,
    block_deg: float | None = None,
    seed: int = 0,
    permutations: int = 999,
    replicates: int = 200,
    run_code: bool = False,
    keep: bool = True,
    scheduler: str = "none",
    workers: int | None = None,
    out: str | Path | None = None,
) -> DistanceResult:
    """How far parts of packed datasets lie apart: each number with its interval over places, its floor, its test and n.

        curation.distance("shards/my-set:split=train", ":split=val")
        curation.distance("shards/my-set", by="season", out="seasons.html")

    Args:
        *sides: `DATASET[:split=…,season=…,region=…,column=…]`: a dataset's folder or URL, and which of its samples; values
            that are all meant stand with `+` between them. Without a folder it is that of the side before.
        by: compare the domains of the sides, too: `split`, `season`, `region`, a domain (`continent`), or a column.
        way: the embedding, as of `embed`.
        arrays: of which; all data with seasons where left out.
        limit: of each split only the first so many samples.
        measures: some of auc, mmd, kid, energy, frechet, sliced, coverage, bands, labels; all where left out.
        dims: compare so many principal components.
        block_deg: resample and permute cells of so many degrees in place of places.
        seed: of all that is drawn.
        permutations: at least so many, more where many pairs want it; of what is dear 99 to 399.
        replicates: of bootstraps; of halves 99.
        run_code: execute the file that `way` names.
        keep: write features below the datasets' folders, to be found again.
        scheduler: where features are made that are not there: `none` (this process), `local`, or an address.
        workers: processes of a local cluster; one per core where left out.
        out: write the page there.

    Raises:
        ConfigError: there are no two sides, or something that is asked for is not there.
        DamageError: what is packed is not what was recorded.
        ReadError: the function of `way` failed.
    """
    from curation.worth.distance import compare, page
    from curation.worth.distance import sides as asking
    from curation.worth.distance.estimate import Looks

    compare.checked(measures)
    path = path_of(out)
    target = None if path is None else Store(path.absolute().parent)
    with naming("--out", out or ""):
        if target is not None:
            target.check_writable()
    made = _features(
        sides, way, arrays, limit, seed=seed, run_code=run_code, keep=keep, scheduler=scheduler, workers=workers
    )
    chosen = [asking.selected(asked, features) for asked, features in made]
    left_out: dict[str, int] = {}
    if by is not None:
        several = len(chosen) > 1
        parts = [(s.label, *asking.split_by(s, by)) for s in chosen]
        chosen = [
            asking.Side(f"{label} {p.label}" if several else p.label, p.features) for label, of, _ in parts for p in of
        ]
        left_out = {f"{label} {n}" if several else n: c for label, _, few in parts for n, c in few.items()}
    skipped = sum((Counter(f.skipped) for f in {id(f): f for _, f in made}.values()), Counter[str]())
    looks = Looks(seed, permutations, replicates)
    found = compare.compared(
        asking.distinct(chosen),
        looks,
        measures=measures,
        dims=dims,
        block_deg=block_deg,
        left_out=left_out,
        skipped=dict(sorted(skipped.items())),
    )
    found = replace(found, synthetic=asking.synthetic_of_all(asked.place for asked, _ in made))
    if target is None or path is None:
        return DistanceResult(found)
    target.publish(path.name, page.page(found).encode())
    return DistanceResult(found, str(path))
