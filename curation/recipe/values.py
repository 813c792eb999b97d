"""What the numbers in a source's files mean, where they are no pixels yet: scale, offset, nodata, masks of bits. Pure.

A mask need not hold codes. One that holds bits, or a probability, is turned into codes where it is read: which of the five
sets a pixel is of. From then on it is a mask like any other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.errors import ReadError
from curation.recipe.strict import StrictTable

CODE_OF = {"invalid": 0, "clear": 1, "doubtful": 2, "snow": 3, "cloudy": 4}
"""Set → the code that stands for it in a mask that is made of bits or of limits."""

PRECEDENCE = ("invalid", "cloudy", "snow", "doubtful", "clear")
"""A pixel that rules of several sets hold of is of the first of these."""

MOST_BITS = 32

_TIMES = re.compile(r"\s*×\s*([0-9]+(?:\.[0-9]+)?)$")
"""How units end of what is stored a number of times: `reflectance × 10000`."""


class BitRule(StrictTable):
    """Some neighbouring bits, and the values of them that are meant."""

    bits: list[int] = Field(min_length=1, max_length=2)
    """One, or the first and the last of a run, counted from 0, the least significant."""
    values: list[int] = Field(min_length=1)
    """Of the number that they make."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        first, last = self.bits[0], self.bits[-1]
        if not 0 <= first <= last < MOST_BITS:
            raise ValueError(f"bits {self.bits}: expected one, or the first and the last, of 0 to {MOST_BITS - 1}")
        if odd := [v for v in self.values if not 0 <= v < 1 << last - first + 1]:
            raise ValueError(f"values {odd} of bits {self.bits}: expected 0 to {(1 << last - first + 1) - 1}")
        return self

    def holds(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where it holds, in the shape of the numbers."""
        width = self.bits[-1] - self.bits[0] + 1
        found: NDArray[np.bool_] = np.isin(numbers >> self.bits[0] & (1 << width) - 1, self.values)
        return found


class Limit(StrictTable):
    """Numbers above one, below another, or between them: the limits themselves are not among them."""

    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.above is None and self.below is None:
            raise ValueError("expected 'above', 'below', or both")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"nothing is above {self.above:g} and below {self.below:g}")
        return self

    def holds(self, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        """Where it holds, in the shape of the numbers."""
        out = np.ones(numbers.shape, bool)
        if self.above is not None:
            out &= numbers > self.above
        if self.below is not None:
            out &= numbers < self.below
        return out


class _Sets(StrictTable):
    """Rules by which a number of a mask's file is of one of the five sets: the first of `PRECEDENCE` that one holds of."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(self.rules(name) for name in PRECEDENCE):
            raise ValueError(f"expected rules of at least one of {', '.join(PRECEDENCE)}")
        return self

    def rules(self, name: str) -> Sequence[Any]:
        """Those of a set."""
        return getattr(self, name) or ()

    def codes(self, numbers: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The code of each number, by `CODE_OF`, and where a rule holds: everywhere, where `clear` has none of its own."""
        codes = np.full(numbers.shape, CODE_OF["clear"], np.uint8)
        known = np.full(numbers.shape, not self.rules("clear"))
        for name in reversed(PRECEDENCE):
            for rule in self.rules(name):
                holds = rule.holds(numbers)
                codes[holds] = CODE_OF[name]
                known |= holds
        return codes, known


class BitSets(_Sets):
    """Of a mask whose bits say something, as of Landsat's `QA_PIXEL`: set → bits that are set, or values of some bits."""

    invalid: list[int | BitRule] = Field(default_factory=list)
    cloudy: list[int | BitRule] = Field(default_factory=list)
    snow: list[int | BitRule] = Field(default_factory=list)
    doubtful: list[int | BitRule] = Field(default_factory=list)
    clear: list[int | BitRule] = Field(default_factory=list)
    """Everything else where left out; else what is of no set is an error."""

    def rules(self, name: str) -> Sequence[BitRule]:
        """Those of a set, a bit alone as what it means: that it is set."""
        return [BitRule(bits=[r], values=[1]) if isinstance(r, int) else r for r in getattr(self, name)]


class LimitSets(_Sets):
    """Of a mask that holds a probability or another number: set → what it is above or below."""

    invalid: Limit | None = None
    cloudy: Limit | None = None
    snow: Limit | None = None
    doubtful: Limit | None = None
    clear: Limit | None = None
    """Everything else where left out; else what is of no set is an error."""

    def rules(self, name: str) -> Sequence[Limit]:
        """That of a set."""
        its = getattr(self, name)
        return [] if its is None else [its]


@dataclass(frozen=True, slots=True)
class Values:
    """What the numbers of one band's files mean."""

    scale: float = 1.0
    offset: float = 0.0
    """A pixel is `scale` times the file's number, plus this."""
    missing: tuple[float, ...] = ()
    """Numbers that mean 'no data', beside what the file declares; NaN may be one of them."""
    sets: BitSets | LimitSets | None = None
    """Of a mask that holds no codes."""

    @property
    def is_made(self) -> bool:
        """Whether pixels are other numbers than the file's."""
        return self.sets is not None or (self.scale, self.offset) != (1.0, 0.0)

    def fits(self, dtype: np.dtype[Any], wanted: str) -> bool:
        """Whether a file's numbers of a dtype can be pixels of the wanted one."""
        if isinstance(self.sets, BitSets):
            return dtype.kind in "iu"
        return dtype.kind in "iuf" if self.is_made else np.can_cast(dtype, wanted, "safe")

    def made(self, raw: NDArray[Any], valid: NDArray[np.bool_], dtype: str, nodata: float, where: str) -> NDArray[Any]:
        """Pixels of a file's numbers, in `dtype`, with `nodata` where they are not valid or mean so; shape as given.

        They may be `raw` itself, which is not changed. A whole number is the nearest one. `where` it is from, errors tell.

        Raises:
            ReadError: a number is of none of the mask's sets, does not fit `dtype`, or would become nodata.
        """
        if self.missing:
            valid = valid & ~self._missing(raw)
        if self.sets is not None:
            pixels, known = self.sets.codes(raw.astype(np.int64) if raw.dtype.kind in "iu" else raw)
            valid = valid & ~np.isnan(raw)
            if (foreign := np.unique(raw[valid & ~known])).size:
                raise ReadError(
                    f"{where}: the mask holds {', '.join(f'{v:g}' for v in foreign[:8])}, of which no rule of its bits or "
                    "limits holds: add one, or leave 'clear' out, which is then everything else"
                )
            pixels[~valid] = CODE_OF["invalid"]
            return pixels
        pixels = raw if not self.is_made else self._scaled(raw, valid, dtype, nodata, where)
        pixels = pixels.astype(dtype, copy=False)
        return pixels if valid.all() else np.where(valid, pixels, pixels.dtype.type(nodata))

    def _missing(self, raw: NDArray[Any]) -> NDArray[np.bool_]:
        out = np.zeros(raw.shape, bool)
        for number in self.missing:
            if np.isnan(number):
                out |= np.isnan(raw)
            else:  # as the file's dtype has it: a float32 is not the number that was written down
                out |= raw == (raw.dtype.type(number) if raw.dtype.kind == "f" else number)
        return out

    def _scaled(
        self, raw: NDArray[Any], valid: NDArray[np.bool_], dtype: str, nodata: float, where: str
    ) -> NDArray[Any]:
        out = np.where(valid, raw.astype(np.float64) * self.scale + self.offset, nodata)
        if not np.issubdtype(dtype, np.floating):
            out = np.rint(out)
            limits = np.iinfo(dtype)
            if (odd := out[~((out >= limits.min) & (out <= limits.max))]).size:
                raise ReadError(
                    f"{where}: scale and offset make {odd[0]:g}, which {dtype} does not hold: take another dtype"
                )
        out = out.astype(dtype)
        if (out[valid] == nodata).any():
            raise ReadError(
                f"{where}: scale and offset make {nodata:g} of a valid pixel, which is nodata: take another nodata"
            )
        return out


def _of_files() -> Any:
    """A key of what numbers in files mean: of an array that says nothing of it no digest does."""
    return Field(default=None, exclude_if=lambda value: value is None)


class FileNumbers(StrictTable):
    """What an array says of the numbers in its files; nothing where they are its pixels."""

    scale: float | dict[str, float] | None = _of_files()
    """What they are multiplied by, of all bands or by band; 1 where left out."""
    offset: float | dict[str, float] | None = _of_files()
    """What is added then, likewise; 0 where left out."""
    file_nodata: list[float | Literal["nan"]] | None = _of_files()
    """Those that mean 'no data', beside the value, the mask or the transparency that files declare."""
    bits: BitSets | None = _of_files()
    """Of a mask that holds bits and no codes: which of them mean which of the five sets."""
    limits: LimitSets | None = _of_files()
    """Of a mask that holds a probability and no codes, likewise."""

    times: float | None = Field(default=None, gt=0, exclude_if=lambda value: value is None)
    """How many times what was measured is stored, where `unit` does not end with it."""
    level: Literal["TOA", "BOA"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of reflectance and radiance: at the top of the atmosphere, or at its bottom."""
    convention: str | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """What else must be known of the numbers: of backscatter `gamma0, linear`, or `sigma0, linear`."""

    @property
    def says_of_files(self) -> bool:
        """Whether it says any of this."""
        return any(v is not None for v in (self.scale, self.offset, self.file_nodata, self.bits, self.limits))

    def values(self, band: str) -> Values:
        """What the numbers of one of its bands mean."""
        scale, offset = (v.get(band) if isinstance(v, dict) else v for v in (self.scale, self.offset))
        missing = tuple(map(float, self.file_nodata or ()))
        return Values(1.0 if scale is None else scale, offset or 0.0, missing, self.bits or self.limits)

    def check_numbers(self, bands: Sequence[str], role: str, dtype: str, nodata: float, unit: str) -> None:
        """Passes where it goes with the rest of the array. Raises ValueError otherwise."""
        if self.times is not None and _TIMES.search(unit):
            raise ValueError(f"times: unit {unit!r} says it; leave one of them out")
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(value, dict) and (unknown := sorted(set(value) - set(bands))):
                raise ValueError(f"{name}: no band {unknown} in the array; it has {list(bands)}")
            if value is not None and role != "data":
                raise ValueError(f"{name} is of numbers that were measured; role {role!r} holds others")
        if 0 in (self.scale.values() if isinstance(self.scale, dict) else [self.scale]):
            raise ValueError("scale = 0 makes one number of all")
        if self.bits is None and self.limits is None:
            return
        if self.bits is not None and self.limits is not None:
            raise ValueError("expected 'bits' or 'limits' of a mask: not both")
        if role != "mask" or dtype != "uint8" or nodata != CODE_OF["invalid"] or len(bands) != 1:
            raise ValueError(
                "'bits' and 'limits' are of an array of one band with role 'mask', dtype 'uint8' and nodata 0: it holds "
                f"{', '.join(f'{code} {name}' for name, code in CODE_OF.items())}"
            )


def stored_times(array: FileNumbers, unit: str) -> tuple[float, str]:
    """How many times what was measured is stored in an array, and its own unit: 10000 and `reflectance`; 1 where not said.

    Args:
        array: which says so by `times`.
        unit: the array's, which may end with it instead: `reflectance × 10000`.
    """
    found = _TIMES.search(unit)
    if array.times is not None or found is None:
        return array.times or 1.0, unit
    return float(found[1]), unit[: found.start()]


def with_codes(source: Any) -> Any:
    """A source's table with the codes of its mask, where they follow from `bits` or `limits` and go without saying.

    Raises:
        ValueError: it says other codes.
    """
    arrays = source.get("arrays") if isinstance(source, dict) else None
    for array in arrays if isinstance(arrays, list) else ():
        its = array if isinstance(array, dict) else vars(array) if isinstance(array, FileNumbers) else {}
        if its.get("bits") is not None or its.get("limits") is not None:
            codes = {name: [code] for name, code in CODE_OF.items()}
            if stated := [name for name, code in codes.items() if source.get(name, code) != code]:
                raise ValueError(
                    f"{', '.join(stated)}: codes of this mask follow from its bits or limits: leave them out"
                )
            return source | codes
    return source
