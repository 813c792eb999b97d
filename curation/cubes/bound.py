"""Whether a cube that stands is of this recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from curation.cubes.cube import Cube
from curation.errors import ConfigError
from curation.model import STATIC
from curation.recipe import catalogs
from curation.recipe.digests import changes, digest
from curation.store import paths
from curation.store.ledger import Ledger
from curation.work.run import Run


@dataclass(frozen=True, slots=True)
class Bound:
    """What a cube is bound to, once it has been found to be of this recipe."""

    binding: dict[str, Any]
    """Of its ledger: with the locations that it has by now, which may be more than the ledger says."""
    pixels: Mapping[str, Any]
    """What its pixels are built by, as the cube states it: as the recipe was when it was begun, or last given sources."""
    added: tuple[str, ...] = ()
    """Sources that it is to be given."""


def check_bound(run: Run, ledger: Ledger, cube: Cube) -> Bound:
    """Passes where a cube's ledger is bound to this recipe and catalog, or to nothing yet; gives what it is bound to.

    A recipe may have grown since: by seasons and sources that are not of this cube, and by locations after those that it
    has. It stays bound to what it was begun with, which comes to the same pixels. By sources that are of this cube, too:
    it is bound to those then, and its ledger is told that what is recorded lacks them. Until something of them is recorded
    it may as well stay what it was.

    Raises:
        ConfigError: it is bound to others (what changed is told by its key where the cube says what it was made by), or its
            slabs would have another size.
    """
    pixels: Mapping[str, Any] = catalogs.pixels_parts(run.dataset, run.catalogs)
    binding = cube.binding(digest(pixels))
    if not ledger.segments:
        return Bound(binding, pixels)
    stated, slab_patches = cube.stated(run.store)
    before: Any = stated.get("pixels")
    says, stood = digest(before) if isinstance(before, dict) else None, ledger.binding.get("pixels")
    if ledger.is_growing and ledger.cube_binding["pixels"] in (says, binding["pixels"]):
        stood = ledger.cube_binding["pixels"]
    known = says is not None and says == stood
    if known and stood != binding["pixels"] and _same_pixels(cube, stated, pixels):
        binding, pixels = binding | {"pixels": stood}, before
    added = _added(cube, stated, pixels) if known else ()
    # Columns of places may decide pixels of what is added.
    had = replace(cube, only=frozenset(_sources(stated))) if added else cube
    located = cube.stood_digests | ({had.locations_digest, *had.stood_digests} if added else set())
    stands = ["locations"] * (ledger.binding.get("locations") in located)
    stands += ["pixels"] * (bool(added) or binding["pixels"] == stood)
    try:
        ledger.check(binding | {key: ledger.binding[key] for key in stands})
    except ConfigError as err:
        changed = "; ".join(changes(before, pixels)) if before else ""
        if not changed:
            raise
        for its in run.catalogs.every:
            if its.is_file:
                changed = changed.replace(f'is "{its.identity}"', f'is {its.label} ("{its.identity}")')
        raise ConfigError(f"{err}. What changed: {changed}{_instead(cube, stated)}") from err
    if slab_patches not in (None, cube.slab_patches):
        raise ConfigError(
            f"{run.store.where(cube.prefix)}: has slabs of {slab_patches} patches, and by the recipe they have "
            f"{cube.slab_patches}: sources with a time axis (pick = 'all') decide that, and one was added or changed. Give "
            "it fewer steps or bands, or a dataset of its own"
        )
    if ledger.cube_objects and ledger.cube_binding["pixels"] != binding["pixels"]:
        ledger.outgrow()
    return Bound(binding, pixels, added)


def _same_pixels(cube: Cube, stated: Mapping[str, Any], pixels: Mapping[str, Any]) -> bool:
    """Whether a cube's pixels come to the same by what it states as by what a recipe says by now."""
    before, now = (cube.dataset.of_cube(parts, cube.season, cube.sources) for parts in (stated["pixels"], pixels))
    return before == now and _sources(stated) == {s.name for s in cube.sources}


def _added(cube: Cube, stated: Mapping[str, Any], pixels: Mapping[str, Any]) -> tuple[str, ...]:
    """The sources that a cube lacks, where that is all by which a recipe says otherwise than the cube itself.

    None where more differs: what pixels of the others follow from, what is measured of them, or in which order.
    """
    stood = replace(cube, only=frozenset(_sources(stated)))
    new = tuple(s.name for s in cube.sources if s.name not in _sources(stated))
    before, now = (cube.dataset.of_cube(parts, cube.season, stood.sources) for parts in (stated["pixels"], pixels))
    alike = before == now and stated.get("coordinates") == stood.coordinates
    return new if alike and len(stood.sources) == len(_sources(stated)) else ()


def _sources(stated: Mapping[str, Any]) -> set[str]:
    """Which sources a cube says that it has."""
    licences = stated.get("licences")
    return set(licences) if isinstance(licences, dict) else set()


def _instead(cube: Cube, stated: Mapping[str, Any]) -> str:
    """What can be done where a recipe has grown by what a cube cannot take up; empty where it has not."""
    own = {s.name: s for s in cube.sources}
    before = stated["pixels"]
    if new := sorted(own.keys() - _sources(stated)):
        own_seasons = f"give it to new seasons alone ([sources.{new[0]}] seasons), or " * (cube.season != STATIC)
        return (
            ". A source can be added to a cube where nothing else of it changes, its places' dates and other columns that "
            f"decide pixels among that: undo the rest; or leave {', '.join(new)} out; or {own_seasons}"
            f"{paths.again(cube.prefix)}; other seasons stand"
        )
    directed = [n for n, spec in own.items() if spec.pick.one_way]
    added = cube.dataset.recipe.seasons.keys() - before.get("seasons", {}).keys()
    if directed and added:
        stood = [s for s in cube.dataset.season_names() if s not in added]
        return (
            f". {directed[0]} keeps to one orbit direction, which follows from all seasons: that those that stand keep "
            f"theirs, say [sources.{directed[0]}] direction_from = {json.dumps(stood)}"
        )
    return ""
