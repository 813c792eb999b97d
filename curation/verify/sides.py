"""That the parts of a split share nothing which they must not, proven from what samples themselves tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from curation.errors.causes import one_line
from curation.errors.words import counted
from curation.format.index import Index
from curation.format.names import DOMAIN
from curation.format.strict import json_of
from curation.pack import sharing
from curation.pack import split as splits
from curation.pack.domains import known
from curation.pack.domains.domain import UNKNOWN, is_value
from curation.pack.sharing import PackedUses, Uses
from curation.pack.sides import apart_rad
from curation.recipe.dataset import Dataset
from curation.recipe.domains import OF_PLACES, SEASON
from curation.recipe.footprint import GridSpec
from curation.recipe.split import UNSHARED_CELL, SplitRule, SplitSpec
from curation.store import paths
from curation.store.objects import Store
from curation.store.records import StoredObject
from curation.verify.found import Verified, table_of


@dataclass(slots=True)
class Proof:
    """Samples of a release, taken up one by one as their tars are read, and then held against the rule it was packed by."""

    dataset: Dataset
    rule: SplitRule | None
    """None: the release does not tell."""
    grid: GridSpec | None
    unread: str = ""
    """Why the release that is there does not tell; else empty."""
    seen: list[PackedUses] = field(default_factory=list)
    seasons: dict[str, Counter[str]] = field(default_factory=dict)
    """Part → the seasons that samples have, as a domain is told → samples; only where the rule goes by these."""

    @classmethod
    def of_release(cls, dataset: Dataset, store: Store) -> Proof:
        """That of the release which stands in a dataset's folder."""
        try:
            recipe = json_of(store.get(paths.RELEASE))["recipe"]
            rule: SplitRule = TypeAdapter(SplitSpec).validate_python(recipe["split"])
            return cls(dataset, rule, GridSpec.model_validate(recipe["grid"]))
        except FileNotFoundError:
            return cls(dataset, None, None)  # which is told by who looks for it
        except (ValueError, KeyError, TypeError) as err:
            return cls(dataset, None, None, f"{store.where(paths.RELEASE)}: {one_line(err)}")

    @property
    def _kinds(self) -> tuple[str, ...]:
        timed = [n for n, s in self.dataset.specs.items() if not s.timeless and s.pick.has_own_time]
        return self.rule.kinds(timed) if self.rule else ()

    def take(self, split: str, meta: Mapping[str, Any]) -> None:
        """Takes up a sample by its `meta.json`."""
        self.seen.append(sharing.of_meta(meta, split, self._kinds))
        if self.rule is not None and SEASON in self.rule.domains:
            self.seasons.setdefault(split, Counter())[known.joined(meta["seasons"])] += 1

    def _uses(self) -> list[Uses]:
        """What samples use, with the cells that their footprints touch where these may not be shared."""
        if UNSHARED_CELL not in self._kinds or not self.seen:
            return [s.uses for s in self.seen]
        cells = sharing.cells_of(self.dataset.recipe, [s.place for s in self.seen])
        return [
            Uses(s.uses.id, s.uses.split, {**s.uses.things, UNSHARED_CELL: its})
            for s, its in zip(self.seen, cells, strict=True)
        ]

    def check(self, where: str, found: Verified) -> None:
        """Takes up what two parts share that their rule keeps apart: ground, and what it says must not be shared."""
        if self.rule is None or self.grid is None:
            found.faults += [f"{self.unread}: its split cannot be read, and so not be proven"] * bool(self.unread)
            return
        parts, km = [s.uses.split for s in self.seen], self.rule.buffer_km
        if others := {*parts} - {*self.rule.parts}:
            found.faults.append(
                f"{where}: samples are of {', '.join(sorted(others))}, expected of {', '.join(self.rule.parts)}, as the "
                "release's rule has it: what they share is not known; pack again"
            )
            return
        if pairs := sharing.near_pairs([s.place for s in self.seen], parts, apart_rad(self.grid, km), self.rule.tiers):
            found.faults.append(
                f"{where}: {counted(pairs, 'pair')} of samples of two parts of the split have less than {km:g} km of "
                "ground between them; pack again"
            )
        found.faults += [f"{where}: {line}; pack again" for line in splits.leaks(self.rule, self.seasons)]
        for kind, its in sharing.shared(self._uses(), self.rule.tiers).items():
            if its.count:
                found.faults.append(
                    f"{where}: {its.count} of {kind!r} are in more than one part of the split, which its rule does not "
                    "allow; pack again"
                )

    def check_domains(self, store: Store, index: Index, found: Verified) -> None:
        """Takes up where a samples table tells what places are not of, or what is left out is in another part."""
        samples: dict[str, Counter[str]] = {}
        for split, entry in index.splits.items():
            names = [n for n in index.domains if n in OF_PLACES and n != "split_block"]
            of_rule = list(self.rule.domains) if self.rule else []
            wanted = [f"{DOMAIN}{n}" for n in dict.fromkeys([*names, *of_rule]) if n in index.domains]
            its = entry.samples_table
            table = table_of(store, StoredObject(its.name, its.size, its.sha256), ["lon", "lat", *wanted])
            if table is None:
                return  # named already
            for name in names:
                self._check_domain(name, table, store.where(entry.samples_table.name), found)
            for name in (n for n in of_rule if n in index.domains):
                samples[split] = Counter(v or UNKNOWN for v in table[f"{DOMAIN}{name}"].to_pylist())
        if self.rule is not None:
            found.faults += [
                f"{store.where('')}: [split] {line}; pack again" for line in splits.leaks(self.rule, samples)
            ]

    def _check_domain(self, name: str, table: pa.Table, where: str, found: Verified) -> None:
        of = known.DOMAINS[name].of_places
        assert of is not None
        lon, lat = table["lon"].to_numpy(), table["lat"].to_numpy()
        again = [v if is_value(v) else None for v in of(lon, lat, self.dataset.recipe).astype(str).tolist()]
        if wrong := sum(a != b for a, b in zip(again, table[f"{DOMAIN}{name}"].to_pylist(), strict=True)):
            found.faults.append(
                f"{where}: {counted(wrong, 'sample')} told to be of another {name} than they are; pack again"
            )
