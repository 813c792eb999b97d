"""A source whose mask a model of the user's says, or has a part in: what of it is read, and what its cubes hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation.errors import ConfigError, ReadError
from curation.recipe import files, modelfiles
from curation.recipe.arrays import ArraySpec
from curation.recipe.facts import Number
from curation.recipe.maskcodes import CODE_SETS
from curation.recipe.maskmodel import MaskModelSpec, SetName
from curation.recipe.schema import UseSpec
from curation.recipe.sources import SourceSpec
from curation.recipe.strict import StrictTable
from curation.recipe.uses import own_keys, picked, varied
from curation.recipe.values import CODE_OF, PRECEDENCE, Values

MASK = "mask"
"""What the band and the array of a mask are called that is made."""

MADE = 1
"""Of how masks are made of what a model says: other numbers make other masks."""


class MaskModel(StrictTable):
    """The model, by its bytes and by what executes them: in digests."""

    sha256: str
    """Of its file."""
    runtime: str
    """What executes it, with its version: another may answer otherwise."""
    bands: list[str]
    """Of its input, in order, by the source's names."""
    output: list[SetName]
    scale: list[float]
    offset: list[float]
    multiple_px: int
    joined: bool
    made: int = MADE
    name: str = Field(exclude=True)
    """Of its file, for people."""
    path: str = Field(exclude=True)
    """Where that lies on the client."""


class OwnMask(StrictTable):
    """The source's own mask, on the grid of the one that is made."""

    array: ArraySpec
    clear: list[int]
    doubtful: list[int]
    snow: list[int]
    cloudy: list[int]
    invalid: list[int]

    def codes(self, mask: NDArray[Any], where: str) -> NDArray[np.uint8]:
        """Its codes as those of a mask that is made (`CODE_OF`), in the same shape; `where` it is from, errors tell.

        Raises:
            ReadError: it holds a code of none of its sets.
        """
        out = np.full(mask.shape, 255, np.uint8)
        for name, code in CODE_OF.items():
            out[np.isin(mask, getattr(self, name))] = code
        if (foreign := np.unique(mask[out == 255])).size:
            raise ReadError(
                f"{where}: the source's own mask holds codes {foreign[:8].tolist()}, of which it says nothing"
            )
        return out


class MaskedSource(SourceSpec):
    """A source whose mask is made where it is read: its array is no file's, its codes are those of `CODE_OF`."""

    by_model: MaskModel
    own_mask: OwnMask | None = None
    """Its own mask, where it has one: read beside, so that both can be compared."""

    def files_of(self, arrays: Sequence[ArraySpec]) -> list[str]:
        """Those of the arrays that are no made mask, then its own mask's, and those that the model is given."""
        bands = super().files_of([a for a in arrays if not a.is_mask])
        own = self.own_mask.array.bands if self.own_mask else []
        return list(dict.fromkeys([*bands, *own, *self.by_model.bands]))

    def compared(self) -> list[Number]:
        """What is told of a dataset of both masks, where it has one of its own, too."""
        if self.own_mask is None:
            return []
        return [
            Number("clear % by its own mask", f"{self.name}_own_clear_fraction", 100),
            Number("clear % by the model", f"{self.name}_model_clear_fraction", 100),
            Number("% of which both masks say the same", f"{self.name}_mask_agreement", 100),
        ]

    def values(self, band: str) -> Values:
        """Of its own mask, too, which is none of its arrays."""
        if self.own_mask is not None and band in self.own_mask.array.bands:
            return self.own_mask.array.values(band)
        return super().values(band)

    def input_arrays(self) -> dict[str, ArraySpec]:
        """Band → the array that it is read as for the model: on the mask's grid, resampled as its own array is."""
        mask = self.mask
        assert mask is not None
        grid = {"res_m": mask.res_m, "size_px": mask.size_px}
        of = {b: a for a in self.arrays if not a.is_mask for b in a.bands}
        return {b: of[b].model_copy(update={"bands": [b], **grid}) for b in self.by_model.bands}


def read_first(spec: SourceSpec) -> list[ArraySpec]:
    """What is read of all candidates, before any is chosen, as it lies in files.

    The source's mask; where a model says that, its own, where it has one, and the bands that the model is given.
    """
    if not isinstance(spec, MaskedSource):
        return [a for a in spec.arrays if a.is_mask]
    of = [(b, a) for a in spec.arrays if not a.is_mask for b in a.bands if b in spec.by_model.bands]
    own = [spec.own_mask.array] if spec.own_mask else []
    return [*own, *(a.model_copy(update={"bands": [b]}) for b, a in of)]


def used(spec: SourceSpec, use: UseSpec, path: Path) -> SourceSpec:
    """The source as a recipe uses it: with its pick, and with its mask, whose model's bytes are hashed here.

    Args:
        spec: the source, as its file says it.
        use: its table in the recipe.
        path: the recipe, which errors name.

    Raises:
        ConfigError: the pick is none of the source's; the model's file is not there or has no runtime here, the source has
            no such band, or its mask decides nothing.
    """
    if use.mask is None:
        return picked(spec, use, path)
    where = f"{path}: [sources.{spec.name}.mask]"
    file = files.beside(path, use.mask.model, f"{where} model = {use.mask.model!r}", modelfiles.MOST_BYTES)
    own, made = spec.mask, _array(spec, use.mask, where)
    if use.mask.joined and own is None:
        raise ConfigError(f"{where} joined: {spec.title} has no mask of its own to join; leave it out")
    sets = {name: getattr(spec, name) for name in CODE_SETS}
    changes: dict[str, Any] = {
        "arrays": [*(a for a in spec.arrays if not a.is_mask), made],
        "bands": {b: v for b, v in spec.bands.items() if own is None or b not in own.bands},
        **{name: [code] for name, code in CODE_OF.items()},
        "legend": None,
        "by_model": _model(spec, use.mask, file, where),
        "own_mask": None if own is None else OwnMask(array=own.model_copy(update=_pixels(made)), **sets),
    }
    found = varied(spec, changes | own_keys(use), path, MaskedSource)
    if not found.kind.composes or found.pick.follows is not None or found.timeless:
        raise ConfigError(
            f"{where}: a mask decides where one of several scenes of rasters is chosen by it: of {spec.title} none is, as "
            "it is picked here; leave the table out"
        )
    return found


def _model(spec: SourceSpec, its: MaskModelSpec, file: Path, where: str) -> MaskModel:
    data = [b for a in spec.arrays if a.is_data for b in a.bands]
    known = {b: b for b in data} | {spec.band(b).name: b for b in data}
    if unknown := [b for b in its.bands if b not in known]:
        raise ConfigError(f"{where} bands: no band {unknown}; {spec.name} has {', '.join(known)}")
    bands = [known[b] for b in its.bands]
    if len(set(bands)) != len(bands):
        raise ConfigError(f"{where} bands: {its.bands} name a band twice, by both of its names")
    runtime = modelfiles.version_of(modelfiles.runtime_of(file.name, f"{where} model"), f"{where} model")
    return MaskModel(
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        runtime=runtime,
        bands=bands,
        output=its.output,
        scale=its.of_each(its.scale),
        offset=its.of_each(its.offset),
        multiple_px=its.multiple_px,
        joined=its.joined,
        name=file.name,
        path=str(file),
    )


def _array(spec: SourceSpec, its: MaskModelSpec, where: str) -> ArraySpec:
    """The mask that is made."""
    own = spec.mask
    if own is None and its.res_m is None:
        raise ConfigError(f"{where}: {spec.title} has no mask, whose pixels it would have: say res_m")
    pixels = {"res_m": its.res_m} if its.res_m is not None or own is None else _pixels(own)
    rest = {"bands": [MASK], "suffix": MASK, "role": "mask", "dtype": "uint8", "nodata": CODE_OF["invalid"]}
    return ArraySpec.model_validate({**pixels, **rest, "unit": "code", "up": "nearest", "down": "mode"})


def _pixels(array: ArraySpec) -> dict[str, Any]:
    return {"res_m": array.res_m, "size_px": array.size_px}


def worse(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of each pixel of two masks that are made, what comes first of `PRECEDENCE`; shape as given."""
    order = np.zeros(max(CODE_OF.values()) + 1, np.uint8)
    for n, name in enumerate(PRECEDENCE):
        order[CODE_OF[name]] = n
    return np.where(order[one] <= order[other], one, other)
