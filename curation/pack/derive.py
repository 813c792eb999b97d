"""Derived arrays of samples: calculated of what cubes hold when a shard is written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.format import payload
from curation.format.bands import BandEntry
from curation.format.index import ArrayEntry, SourceEntry
from curation.format.names import split_member
from curation.model import Location
from curation.outcomes import PatchOutcome
from curation.pack import terrain
from curation.pack.meta import plain
from curation.pack.terrain import Sun
from curation.places import grid
from curation.recipe import angles, formula
from curation.recipe.dataset import Dataset
from curation.recipe.derived import Derived, Input

NODATA, NO_CODE = -32768.0, 255
"""Of derived arrays of float32, as of heights and backscatter; and of those of codes, uint8."""

Floats = NDArray[np.float64]


def may_have(its: Derived, season: str | None, outcome: PatchOutcome) -> bool:
    """Whether a patch may have a derived array: of its season (None: static), with the source that tells the sun."""
    sun = its.sun is None or outcome.has(its.sun)
    return sun and (season in its.seasons if season else not its.seasons)


def calculated(
    its: Derived, stored: Mapping[str, NDArray[Any]], place: Location, facts: Mapping[str, Any]
) -> NDArray[Any] | None:
    """A derived array of a place in a season.

    Args:
        its: which.
        stored: array → pixels as cubes hold them, (band, y, x), or (step, band, y, x): those of the season and those
            without time.
        place: whose grid it is.
        facts: what was measured of the patch in the season, by the names of the cube's coordinates.

    Returns:
        (1, y, x), or (step, 1, y, x), float32, or uint8 of codes: `NODATA`, or `NO_CODE`, where an input has none or nothing
        can be calculated. None where an input is not there.
    """
    if any(i.array not in stored for i in its.inputs):
        return None
    values = {i.band: _physical(i, stored[i.array]) for i in its.inputs}
    if its.spec.formula is not None:
        found = formula.calculated(its.spec.formula, values)
    else:
        heights = values[its.first.band]
        step = place.size_m / its.first.px if its.first.res_m is None else its.first.res_m
        ground = grid.ground_axes(place, step)
        found = terrain.WAYS[str(its.spec.terrain)](heights, ground, _sun(its, facts))
    if its.has_codes:
        return np.where(np.isnan(found), NO_CODE, found).astype(np.uint8)[None]
    with np.errstate(over="ignore"):
        out = found.astype(np.float32)
    out[out == NODATA] = np.nextafter(np.float32(NODATA), np.float32(0))  # a value that happens to be that
    out[~np.isfinite(out)] = NODATA
    return out[..., None, :, :]


def _physical(its: Input, pixels: NDArray[Any]) -> Floats:
    """A band's values in its own unit, (y, x) or (step, y, x), NaN where there is no data."""
    plane = pixels[..., its.number, :, :]
    return np.where(plane == its.nodata, np.nan, plane.astype(np.float64) * its.scale)


def _sun(its: Derived, facts: Mapping[str, Any]) -> Sun:
    """Where the sun stood; NaN where that is not known."""
    found = (facts.get(f"{its.sun}_{name}") for name in angles.SUN)
    return Sun(*(np.nan if value is None else float(value) for value in found))


def entry_of(its: Derived, encoding: payload.Encoding) -> ArrayEntry:
    """What the index says of a derived array; it counts as a source of its own name."""
    return ArrayEntry(
        source=its.name,
        seasons=its.seasons,
        bands=(its.name,),
        shape=(1, its.first.px, its.first.px),
        dtype="uint8" if its.has_codes else "float32",
        unit=its.unit,
        nodata=NO_CODE if its.has_codes else NODATA,
        res_m=its.first.res_m,
        role="classes" if its.has_codes else "data",
        encoding=encoding,
        of_children=bool(its.first.level),
        steps=its.steps,
        canonical=(BandEntry(f"derived.{its.name}"),),
    )


def sources(dataset: Dataset) -> dict[str, SourceEntry]:
    """What the index says of the sources that derived arrays count as."""
    return {name: SourceEntry(f"{name}: {its.spec.label}", its.licence) for name, its in dataset.derived.items()}


def add_facts(meta: dict[str, Any], arrays: Mapping[str, NDArray[Any]], encoding: str, dataset: Dataset) -> None:
    """Writes into a sample's `meta.json` what is known of its derived arrays: time and scenes are those of their inputs."""
    for member, pixels in arrays.items():
        at = split_member(f"{member}.{encoding}")
        its = dataset.derived.get(at.array)
        if its is None:
            continue
        place = meta if at.child is None else meta["children"][at.child]
        static, season = place["static"]["sources"], {} if at.season is None else place["seasons"][at.season]["sources"]
        known = {source: (season if timed else static)[source] for source, timed in its.sources.items()}
        stated: dict[str, Any] = {
            "valid_fraction": plain(float((pixels != (NO_CODE if its.has_codes else NODATA)).mean())),
            "scenes": list(dict.fromkeys(s for of in known.values() for s in of["scenes"])),
        }
        if its.timed is not None:
            stated |= {k: v for k, v in known[its.timed].items() if k in ("time", "times")}
        (static if at.season is None else season)[its.name] = stated
