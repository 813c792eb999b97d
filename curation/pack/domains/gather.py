"""What the roots of a dataset are told to be of, before samples are planned; and what an index says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from curation.format.domains import DomainEntry
from curation.model import STATIC
from curation.pack.domains import known
from curation.pack.domains.domain import BuiltPatch, is_value
from curation.pack.facts import Cubes, each_patch
from curation.places.locations import Locations
from curation.recipe import domains
from curation.recipe.dataset import Dataset
from curation.work.run import Run

ByPlace = Mapping[str, Mapping[str, str]]
"""Domain → id of a root → what it is of, or why that is not told (`domain.WHY`)."""

BySeasonOfPlace = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Domain → id of a root → season → likewise."""


@dataclass(frozen=True, slots=True)
class DomainTexts:
    """What is told of roots."""

    places: ByPlace
    seasons: BySeasonOfPlace
    """Of those domains that may differ between the seasons of a place."""


def gathered(run: Run, built: Cubes) -> DomainTexts:
    """What the roots of what is built are told to be of: of all domains that the recipe asks for, or is split by.

    Raises:
        ConfigError: a file of a domain cannot be read.
        DamageError: what a cube tells of a patch is not what its ledger says.
    """
    recipe, out = run.dataset.recipe, {}
    asked = domains.names(recipe)
    if not asked:
        return DomainTexts({}, {})
    firsts = [c.locations for by in built.cubes.values() for c in list(by.values())[:1] if not c.dataset.level]
    roots = Locations.joined(firsts).roots()
    ids = roots.column("id").tolist()
    for name in asked:
        if name in domains.spec_of(recipe).files:
            values = known.of_file(name, roots.column("lon"), roots.column("lat"), recipe, run.dataset.path)
        elif (at := known.of_places(name, roots, recipe)) is not None:
            values = at
        else:
            continue
        out[name] = dict(zip(ids, values.tolist(), strict=True))
    built_of = _of_patches(run, built, [n for n in asked if n not in out])
    for name, of in built_of.items():
        out[name] = {i: known.joined(v for its in of.get(i, {}).values() for v in its) for i in ids}
    seasons = {
        name: {i: {season: known.joined(its) for season, its in each.items()} for i, each in of.items()}
        for name, of in built_of.items()
        if name in domains.OF_SEASONS
    }
    return DomainTexts(out, seasons)


def _of_patches(run: Run, built: Cubes, asked: list[str]) -> dict[str, dict[str, dict[str, set[str]]]]:
    """Domain → id → season → what the patch of a place says, of those domains that these tell."""
    found: dict[tuple[str, str], dict[str, dict[str, set[str]]]] = {}
    cubes = [c for by in built.cubes.values() for c in by.values() if not c.dataset.level] if asked else []
    for its in each_patch(run, built, cubes):
        for source in (s for s in its.outcome.sources if its.outcome.has(s)):
            patch = BuiltPatch(source, its.cube.season, its.outcome, its.row)
            for name in asked:
                domain = known.DOMAINS[name]
                assert domain.of_patch is not None
                if domain.of_static == (patch.season == STATIC):
                    values = {*domain.of_patch(patch)}
                    if values:
                        key = name, "" if domain.of_any else source
                        of = found.setdefault(key, {}).setdefault(its.place.id, {})
                        of.setdefault(patch.season, set()).update(values)
    said = domains.spec_of(run.dataset.recipe).sources
    out = {}
    for name in asked:
        order = ["", *([said[name]] if name in said else run.dataset.recipe.sources)]
        out[name] = next((found[name, s] for s in order if (name, s) in found), {})
    return out


def titles(dataset: Dataset) -> dict[str, str]:
    """Domain → what it is, for a person, of those that samples of a recipe are told to be of."""
    of_files = domains.spec_of(dataset.recipe).files
    return {
        name: known.DOMAINS[name].title
        if name in known.DOMAINS
        else f"{of_files[name].column} of {of_files[name].file}"
        for name in domains.names(dataset.recipe)
    }


def entries(dataset: Dataset, domains_of: ByPlace, samples: Iterable[str]) -> dict[str, DomainEntry]:
    """What an index says of domains: the values of any of its samples, sorted."""
    ids = list(samples)
    return {
        name: DomainEntry(title, tuple(sorted({v for i in ids if is_value(v := domains_of[name][i])})))
        for name, title in titles(dataset).items()
    }


def counts(domains_of: ByPlace, samples: Mapping[str, list[str]]) -> dict[str, Any]:
    """Domain → split → value, or why it is not told → samples."""
    return {
        name: {split: dict(sorted(Counter(of[i] for i in ids).items())) for split, ids in samples.items()}
        for name, of in domains_of.items()
    }
