"""A chip of a foreign dataset, as it is: no catalog is asked, no scene chosen, nothing is warped."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from pydantic import Field

from curation.build import chips
from curation.build.chips import ChipRules
from curation.build.context import Patch, Reading, Slab, Source
from curation.build.pixels import valid_fraction
from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import Reject, SourceOutcome, Status
from curation.read.archive import base_of
from curation.read.chipform import ChipReader
from curation.read.reader import Read
from curation.recipe.chips import AnyForm, MendSpec
from curation.recipe.facts import Fact
from curation.recipe.sources import Pick, Shift, SourceSpec


class Chip(Pick):
    """The file that the sample's own column names, held against what is stated of it (`build/chips.py`)."""

    timeless: ClassVar[bool] = True
    time: ClassVar[str] = ""
    searches: ClassVar[bool] = False
    has_one_scene: ClassVar[bool] = False
    form: AnyForm
    """What its files are."""
    column: str
    """Column of places that holds the address of each sample's chip; empty where it has none."""
    limits: dict[str, list[float]] = Field(default_factory=dict)
    """Band → least and greatest value that its unit can have."""
    file_bands: dict[str, str] = Field(default_factory=dict)
    """Band → what its own file, or array, is called by; empty where a file holds all of an array."""
    decibels: bool = False
    """Whether files hold decibels, of which cubes keep the power."""
    mend: MendSpec = MendSpec()
    """What is wrong with them, and said so."""
    archive: str = Field(default="", exclude=True)
    """Folder or file that the dataset is in. Where it lies changes nothing, so that no digest has it."""

    @property
    def place_columns(self) -> list[str]:
        """The one with the addresses."""
        return [self.column]

    def rules(self, source: SourceSpec) -> ChipRules:
        """What is stated of its chips."""
        limits = {band: (low, high) for band, (low, high) in self.limits.items()}
        codes = tuple(c.code for c in source.kind.legend)
        return ChipRules(cast(ChipReader, self.form), self.mend, limits, self.file_bands, self.decibels, codes)

    def check_reach(self) -> None:
        """Passes where it is known where the dataset lies."""
        if not self.archive:
            raise ConfigError(
                "chips are read by `curate import FOLDER --as RECIPE`, which says where they lie: say that"
            )
        base_of(Path(self.archive))

    def least_valid(self, usual: float) -> float:
        """None: gaps are told by the dataset itself."""
        return 0.0

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """How far it lies beside its sample."""
        beside = "metres that corners of the chip lie beside those of its sample, by its own transform"
        return [Fact(f"{source.name}_beside_m", "float32", beside)]

    def offered(self, scenes: Sequence[Scene]) -> list[Scene]:
        """All: there are none."""
        return list(scenes)

    def of_place(self, scenes: Sequence[Scene], place: Location) -> list[Scene]:
        """All: there are none."""
        return list(scenes)

    def reads(self, slab: Slab, source: Source, place: Location) -> list[Read]:
        """Nothing by range: chips are small, and read whole."""
        return []

    def read(self, slab: Slab, patch: Patch, source: Source) -> Reading[Scene | None]:
        """The chip's arrays. Raises Reject where there is none, or it is not what is stated."""
        yield from ()
        address = patch.location.text(self.column)
        if not address:
            raise Reject(Code.NO_CHIP, status=Status.ABSENT)
        content = (
            hashlib.sha256()
        )  # of pixels as cubes hold them, so that a later run sees where a chip has become another
        pixels, beside_m, rules, base = {}, 0.0, self.rules(source.spec), base_of(Path(self.archive))
        for name, array in source.arrays.items():
            made = chips.checked(rules, array, base, address, patch.location)
            pixels[name], beside_m = made.pixels, max(beside_m, made.beside_m)
            content.update(made.pixels.tobytes())
        valid = min(valid_fraction(pixels[n], a) for n, a in source.arrays.items())
        patch.note(source, beside_m=beside_m, valid_fraction=valid, warped=0)
        if not any(np.any(pixels[n] != a.nodata) for n, a in source.arrays.items()):
            raise Reject(Code.NODATA, 0.0)
        patch.take(source, pixels, ())
        patch.sources[source.name] = SourceOutcome(Status.OK, scenes=(f"{address}#sha256={content.hexdigest()}",))
        return None
