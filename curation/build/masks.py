"""Masks of candidates: what a file says, or what a model of the user's makes of bands, and how both compare.

A model's mask costs what it is given: those bands are read of every candidate, where of a file's mask one band is.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.build.context import Slab, Source
from curation.errors import ConfigError, ReadError, UnaskedCodeError
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.read import radiometry, runtimes
from curation.read.reader import Read
from curation.read.runtimes import Run
from curation.recipe import modelfiles
from curation.recipe.arrays import ArraySpec
from curation.recipe.dataset import Dataset
from curation.recipe.facts import Fact
from curation.recipe.masked import MaskedSource, worse
from curation.recipe.sources import SourceSpec
from curation.recipe.values import CODE_OF
from curation.store import paths
from curation.store.objects import Store

SEEN = [CODE_OF[name] for name in ("clear", "doubtful", "snow")]
"""Codes of a made mask that count as clear."""


@dataclass(frozen=True, slots=True)
class Mask:
    """What a mask says of a patch."""

    pixels: NDArray[Any]
    """(1, y, x)."""
    compared: Mapping[str, float | None] = field(default_factory=dict)
    """Fact, by a name without the source's → what it comes to beside the source's own mask; of a file's nothing."""


def facts(source: SourceSpec) -> list[Fact]:
    """What is measured of a mask that a model says, where the source has one of its own, too."""
    if not isinstance(source, MaskedSource) or source.own_mask is None:
        return []
    s, share = source.name, "share of the patch's pixels that are neither cloud, shadow nor invalid by the"
    both = (
        "share of the pixels that are valid by both masks of which both say that they are clear, or that they are not"
    )
    of = "; of several acquisitions their mean" if not source.pick.has_one_scene and not source.pick.most_steps else ""
    return [
        Fact(f"{s}_own_clear_fraction", "float32", f"{share} source's own mask, 0 to 1{of}"),
        Fact(f"{s}_model_clear_fraction", "float32", f"{share} model alone, 0 to 1{of}"),
        Fact(f"{s}_mask_agreement", "float32", f"{both}, 0 to 1{of}"),
    ]


def own_clear(source: SourceSpec) -> list[int]:
    """Codes of the source's own mask that are ground, for sure, whoever says what its patches' mask is."""
    if isinstance(source, MaskedSource):
        return source.own_mask.clear if source.own_mask else []
    return source.clear


def mean(compared: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """What several masks come to, by fact: the mean of those that are known."""
    known = {name: [c[name] for c in compared if c.get(name) is not None] for c in compared for name in c}
    return {name: float(np.mean(np.array(its, np.float64))) if its else None for name, its in known.items()}


def reads(source: Source, place: Location, scenes: Sequence[Scene]) -> list[Read]:
    """What reading the mask of scenes takes."""
    if not isinstance(source.spec, MaskedSource):
        return source.files.reads(source, place, scenes, "mask")
    arrays = _arrays(source.spec)
    return source.files.reads(dataclasses.replace(source, arrays=arrays), place, scenes)


def read(slab: Slab, source: Source, place: Location, scenes: Sequence[Scene]) -> Mask:
    """The mask of the scenes of one acquisition on the grid of a patch.

    Raises:
        ReadError: a file cannot be read, its mask holds a code of no set, or the model gives NaN for pixels that are there.
    """
    spec = source.spec
    if not isinstance(spec, MaskedSource):
        return Mask(source.files.pixels(slab, source, place, source.mask, scenes)[0])
    said = _said(slab, source, spec, place, scenes)
    if spec.own_mask is None:
        return Mask(said[None])
    of = dataclasses.replace(source, arrays=_arrays(spec))
    found, _ = source.files.pixels(slab, of, place, _OWN, scenes)
    own = spec.own_mask.codes(found[0], scenes[0].id)
    one, other = np.isin(own, SEEN), np.isin(said, SEEN)
    both = (own != CODE_OF["invalid"]) & (said != CODE_OF["invalid"])
    compared = {
        "own_clear_fraction": float(one.mean()),
        "model_clear_fraction": float(other.mean()),
        "mask_agreement": float((one == other)[both].mean()) if both.any() else None,
    }
    return Mask((worse(own, said) if spec.by_model.joined else said)[None], compared)


_OWN = "own mask"


def _arrays(spec: MaskedSource) -> dict[str, ArraySpec]:
    """What is read for a mask that is made: its input by band, and the source's own mask."""
    own = {_OWN: spec.own_mask.array} if spec.own_mask else {}
    return {**{_input(b): a for b, a in spec.input_arrays().items()}, **own}


def _input(band: str) -> str:
    return f"input {band}"


def _said(
    slab: Slab, source: Source, spec: MaskedSource, place: Location, scenes: Sequence[Scene]
) -> NDArray[np.uint8]:
    """What the model says, (y, x) of `CODE_OF`: invalid where a band has no data, which the model is given as 0."""
    its, of = spec.by_model, dataclasses.replace(source, arrays=_arrays(spec))
    planes, there = [], None
    for band, scale, shift in zip(its.bands, its.scale, its.offset, strict=True):
        found, _ = source.files.pixels(slab, of, place, _input(band), scenes)
        nodata = of.arrays[_input(band)].nodata
        dn = radiometry.harmonised(found, scenes[0].offset_dn, nodata)[0]
        valid = dn != nodata
        there = valid if there is None else there & valid
        planes.append(np.where(valid, dn * scale + shift, 0.0))
    assert there is not None
    assert source.model is not None
    image, px = np.stack(planes, axis=-1).astype(np.float32), len(there)
    beyond = _padded(px, its.multiple_px) - px
    scores = source.model(np.pad(image, ((0, beyond), (0, beyond), (0, 0)), mode="symmetric"))[:px, :px]
    if not np.isfinite(scores[there]).all():
        raise ReadError(f"{scenes[0].id}: model {its.name} gives NaN or infinity for pixels that are there")
    codes = np.array([CODE_OF[name] for name in its.output], np.uint8)[scores.argmax(axis=-1)]
    return np.where(there, codes, np.uint8(CODE_OF["invalid"]))


def _padded(px: int, multiple: int) -> int:
    return -(-px // multiple) * multiple


def model_of(store: Store, spec: MaskedSource, size: float) -> Run:
    """The model of a source's mask, loaded once per process, by the bytes that were hashed.

    Args:
        store: where it was published.
        spec: the source.
        size: side of the footprint, in units of its CRS.

    Raises:
        DamageError: what lies there is another; it is not executed.
        ConfigError: its runtime is of another version here, or it answers in no form that is known.
    """
    its, mask = spec.by_model, spec.mask
    assert mask is not None
    where = f"model {its.name} of {spec.name}'s mask"
    installed = modelfiles.version_of(modelfiles.runtime_of(its.name, where), where)
    if installed != its.runtime:
        raise ConfigError(f"{where}: {installed} is installed, and cubes are made with {its.runtime}: install that")
    px, key = _padded(mask.px(size), its.multiple_px), paths.model(its.sha256)
    return runtimes.loaded(store, key, its.sha256, its.name, px, len(its.bands), len(its.output))


def check(dataset: Dataset, *, run_code: bool) -> None:
    """Passes where each model that says a mask may be executed. Executes none.

    Raises:
        UnaskedCodeError: the recipe names one, and `run_code` is not said.
    """
    for spec in (s for level in dataset.levels for s in level.specs.values()):
        if isinstance(spec, MaskedSource) and not run_code:
            its = spec.by_model
            raise UnaskedCodeError(
                f"{dataset.path}: [sources.{spec.name}.mask] model: {Code.CODE_UNASKED}: {its.path} (sha256 "
                f"{its.sha256[:12]}…) is a program that comes with the recipe, and building would execute it: where you "
                "trust it say --run-code"
            )


def publish(store: Store, spec: SourceSpec, size: float) -> None:
    """Lays the model of a source's mask where workers find it, and asks it once whether it is one; of others nothing.

    Args:
        store: of the dataset.
        spec: the source.
        size: side of the footprint, in units of its CRS.

    Raises:
        ConfigError: the file is another than when the recipe was read; or as `model_of` says.
    """
    if not isinstance(spec, MaskedSource):
        return
    its, key = spec.by_model, paths.model(spec.by_model.sha256)
    data = Path(its.path).read_bytes()
    if hashlib.sha256(data).hexdigest() != its.sha256:
        raise ConfigError(f"{its.path}: has changed since the recipe was read; begin again")
    stands = store.head(key)
    if stands is None or stands.size != len(data):
        store.publish(key, data)
    model_of(store, spec, size)
