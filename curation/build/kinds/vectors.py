"""Shapes of vector files, burnt on the grid of each patch: fields, delineations of floods, footprints of buildings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.build.coded import Coded
from curation.build.context import Part, Slab, Source
from curation.errors import ReadError
from curation.errors.codes import Code
from curation.errors.printable import storable
from curation.errors.words import did_you_mean
from curation.model import Location, Scene, text_of
from curation.read import burning, shapes
from curation.read.burning import Ground, Painted
from curation.read.reader import Read
from curation.read.shapes import NoColumnError, NoShapesError, Shapes
from curation.recipe.columns import FORM
from curation.recipe.facts import Fact
from curation.recipe.sources import SourceSpec
from curation.recipe.strict import StrictTable
from curation.store import hrefs

Value = str | int | float | bool
"""What a column of a file may hold."""

OF_EACH = ("status", "reason", "scenes", "warped", "valid_fraction", "time")
"""Facts that every source has (`cubes/facts.py`)."""

MOST_LISTED = 8
"""So many values of a column are told of a patch."""


class UnknownValueError(ReadError):
    """A shape's column holds what its source says no class of."""

    code = Code.UNKNOWN_VALUE


class ShapesOf(StrictTable):
    """Some shapes of a scene."""

    file: str = "shapes"
    """Which of its files: the group `band` of the pattern that files are called by; the only one of a pattern without it."""
    layer: str | None = Field(default=None, min_length=1)
    """Which layer of that, where it has several."""
    where: dict[str, list[Value]] = Field(default_factory=dict)
    """Column → the values that count; a shape with another is passed over."""
    of_place: dict[str, str] = Field(default_factory=dict)
    """Column → the column of places whose value it must have: shapes so belong to some places only."""
    row: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The column of places that says which one shape of the file is theirs, by its row from 1."""
    shape: str | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """The column of places that has the digest of that shape (`shape_of_file`, of the file of places): with all of them
    told so, the file may have more rows by now."""
    may_be_empty: bool = False
    """Whether the layer may have no shape at all: nothing was found there."""


class BurnSpec(ShapesOf):
    """Shapes that are burnt."""

    as_class: str | None = Field(default=None, alias="class")
    """The class that all of them are."""
    column: str | None = None
    """Or else the column that says of each which it is. Of shapes that overlap, the later in the legend is on top."""
    values: dict[str, str] = Field(default_factory=dict)
    """Value of that column → class; where none is said, a value is the name of a class, or its code."""
    tells: dict[str, str] = Field(default_factory=dict, exclude_if=lambda value: not value)
    """Fact → the column whose values it tells of those that have a pixel of a patch: who drew them, of which year."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.as_class is None) == (self.column is None):
            raise ValueError("expected either 'class', which all shapes are, or 'column', which says it of each")
        if self.values and self.column is None:
            raise ValueError("'values' are those of a 'column', which is not said")
        return self

    @property
    def asked(self) -> list[str]:
        """Columns that are asked."""
        return [*self.where, *self.of_place, *([self.column] if self.column else []), *self.tells.values()]


class Vectors(Coded):
    """Shapes, each of a class."""

    holds_shapes: ClassVar[bool] = True
    burn: list[BurnSpec] = Field(min_length=1)
    """What is burnt, in order: the later lies over the earlier."""
    area: ShapesOf | None = None
    """The area of interest, within which all is said; what lies outside is nodata. All of the patch where left out."""
    background: str | None = None
    """The class of what no shape covers; nodata where left out."""
    all_touched: bool = False
    """Whether a shape is burnt on each pixel that it touches, as lines want it; else on those whose centre it holds."""

    def check(self, source: SourceSpec) -> None:
        """Passes where there is one band of codes, and each class that is burnt is in the legend."""
        super().check(source)
        array = source.arrays[0]
        holds_codes = not (array.is_mask or array.is_data or array.tells_of_mean)
        if [len(a.bands) for a in source.arrays] != [1] or not holds_codes:
            raise ValueError("kind 'vectors' has one array of one band, with role = 'classes'")
        if array.says_of_files:
            raise ValueError("scale, offset, file_nodata, bits and limits are of rasters")
        names = [c.name for c in self.legend]
        if array.nodata in [c.code for c in self.legend]:
            raise ValueError(f"nodata {array.nodata:g} is the code of a class: what is not known is none")
        if array.dtype == "float32" or any(not _fits(c.code, array.dtype) for c in self.legend):
            raise ValueError(f"codes of classes are no values of dtype {array.dtype}: say uint8")
        self._check_tells(source)
        asked = [n for b in self.burn for n in (b.as_class, *b.values.values())] + [self.background]
        if unknown := [n for n in asked if n is not None and n not in names]:
            raise ValueError(f"no class {unknown[0]!r}; {did_you_mean(unknown[0], names)}classes: {', '.join(names)}")

    def _check_tells(self, source: SourceSpec) -> None:
        """Passes where facts that burns tell can be called so. Raises ValueError otherwise."""
        named = [name for burn in self.burn for name in burn.tells]
        measured = {f.name.removeprefix(f"{source.name}_") for f in self._measured(source.name)}
        taken = {
            *OF_EACH,
            *measured,
            *(f.name.removeprefix(f"{source.name}_") for f in source.pick.facts(source, None)),
        }
        for name in named:
            if not FORM.fullmatch(name) or name in taken or named.count(name) > 1:
                raise ValueError(
                    f"tells {name!r}: expected a-z, 0-9, '_' and '-', each once, and none of {sorted(taken)}"
                )

    @property
    def place_columns(self) -> list[str]:
        """Those that say which shapes are theirs."""
        every = [*([self.area] if self.area else []), *self.burn]
        return [c for its in every for c in (*its.of_place.values(), its.row, its.shape) if c]

    @property
    def known_by_places(self) -> bool:
        """Whether each shape is one row's, whose digest places have, and no other column of the file is looked at."""
        every = [*([self.area] if self.area else []), *self.burn]
        looked_at = any(b.column or b.tells for b in self.burn)
        return all(its.row and its.shape and not _asked(its) for its in every) and not looked_at

    def sought(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Each file."""
        return tuple(dict.fromkeys(its.file for its in [*([self.area] if self.area else []), *self.burn]))

    def facts(self, source: str) -> list[Fact]:
        """Beside shares of classes their areas, how many shapes they are of, and what the recipe wants told of these."""
        stated = [
            Fact(f"{source}_{name}", "string", f"{column} of shapes on the patch that burn {number} burns")
            for number, burn in enumerate(self.burn, start=1)
            for name, column in burn.tells.items()
        ]
        return [*self._measured(source), *stated]

    def _measured(self, source: str) -> list[Fact]:
        axis, along = f"{source}_class", tuple(c.name for c in self.legend)
        true = "true area within the patch, m², by an equal-area CRS, of what no later shape lies over"
        return [
            *super().facts(source),
            Fact(f"{source}_area_m2", "float32", f"of each class: {true}", axis, along),
            Fact(f"{source}_area_error_m2", "float32", "area of its pixels, m², less that", axis, along),
            Fact(
                f"{source}_shapes", "float32", "how many shapes lie on the patch, the area of interest's not among them"
            ),
            Fact(f"{source}_mended", "float32", "how many of them were no valid geometries, and were mended"),
        ]

    def reads(self, source: Source, place: Location, scenes: Sequence[Scene], part: Part = "all") -> list[Read]:
        """Nothing that is fetched: files lie here."""
        return []

    def pixels(
        self, slab: Slab, source: Source, place: Location, name: str, scenes: Sequence[Scene]
    ) -> tuple[NDArray[Any], bool]:
        """(1, y, x) codes. Of several scenes the first lies on top: all that it says of its area, or else its shapes.

        Raises:
            BadShapesError, NoCrsError, NoColumnError, NoShapesError: a file is not as the source says.
            UnknownValueError: nor is what it says of a shape.
        """
        array = source.arrays[name]
        ground = Ground(place, array.step(place.size_m))
        found = [self._layers(ground, source, scene) for scene in reversed(scenes)]
        layers = [layer for its, _ in found for layer in its]
        rows = {row: mended for _, its in found for row, mended in its.items()}
        if (
            self.area is None and self.background is not None
        ):  # below all: no file says where it ends, and another begins
            layers.insert(0, self._all(ground, None))
        pixels = burning.burnt(ground, layers, array.nodata, array.dtype, all_touched=self.all_touched)
        stated = {name: set[str]() for burn in self.burn for name in burn.tells}
        if stated:
            stated |= burning.stated(ground, layers, all_touched=self.all_touched)
        codes = [c.code for c in self.legend]
        true = burning.areas_m2(ground, layers, codes)
        noted = {
            "area_m2": true,
            "area_error_m2": burning.burnt_m2(ground, pixels, codes) - true,
            "shapes": len(rows),
            "mended": sum(rows.values()),
        } | {name: _listed(values) for name, values in stated.items()}
        source.memo["facts"] = {f"{source.name}_{k}": v for k, v in noted.items()}
        return pixels[np.newaxis], False

    def scene_facts(self, source: Source, place: Location, scenes: Sequence[Scene]) -> dict[str, Any]:
        """Areas and counts of the pixels that were burnt last."""
        found: dict[str, Any] = source.memo["facts"]
        return found

    def _layers(self, ground: Ground, source: Source, scene: Scene) -> tuple[list[Painted], dict[Any, bool]]:
        """What is burnt of a scene, in order; of each row of a file that this is of, whether its shape was mended."""
        within: NDArray[np.object_] | None = None
        rows: dict[Any, bool] = {}
        if self.area is not None:
            within, _ = _near(self.area, list(_asked(self.area)), ground, source, scene, "area")
        out = [self._all(ground, within)] if self.background is not None and self.area is not None else []
        for number, burn in enumerate(self.burn, start=1):
            key = f"burn {number}"
            moved, its = _near(burn, burn.asked, ground, source, scene, key)
            rows |= dict(zip(its.rows, its.mended.tolist(), strict=True))  # a later burn may have a row again
            texts = {name: _texts(its.columns[column]) for name, column in burn.tells.items()}
            codes = self._codes(burn, its, f"{_path(burn, source, scene)}: {key}")
            for code in self._in_order(codes):
                mine = codes == code
                out.append(Painted(code, moved[mine], within, {name: its_own[mine] for name, its_own in texts.items()}))
        return out, rows

    def _all(self, ground: Ground, within: NDArray[np.object_] | None) -> Painted:
        square = np.empty(1, object)
        square[0] = ground.square
        return Painted(self._code(self.background or ""), square, within)

    def _code(self, name: str) -> int:
        return next(c.code for c in self.legend if c.name == name)

    def _in_order(self, codes: NDArray[np.int64]) -> list[int]:
        """Those codes, each once, as the legend has them."""
        there = set(codes.tolist())
        return [c.code for c in self.legend if c.code in there]

    def _codes(self, burn: BurnSpec, found: Shapes, where: str) -> NDArray[np.int64]:
        """The code of each shape."""
        if burn.as_class is not None:
            return np.full(len(found.geometry), self._code(burn.as_class))
        known = burn.values or {its: c.name for c in self.legend for its in (str(c.code), c.name)}
        assert burn.column is not None
        values = found.columns[burn.column]
        if unknown := sorted({str(v) for v in values if text_of(v) not in known}):
            raise UnknownValueError(
                f"{where}: column {burn.column!r} holds {unknown[0]!r}, which is no class; {did_you_mean(unknown[0], known)}"
                f"expected one of {', '.join(known)}: add it to 'values', or leave such shapes out by 'where'"
            )
        return np.array([self._code(known[text_of(v)]) for v in values], np.int64)


def _listed(values: set[str]) -> str:
    """Some values as a text; no URL that may be signed goes on from here."""
    listed = sorted(map(str, map(storable, values)))
    return ", ".join(listed[:MOST_LISTED]) + (
        f", and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
    )


def _texts(values: Iterable[Any]) -> NDArray[np.str_]:
    """Of each shape what a column says, as text; empty where it says nothing."""
    return np.array(["" if _is_missing(v) else text_of(v) for v in values], np.str_)


def _is_missing(value: Any) -> bool:
    """Whether a file says nothing there."""
    return value is None or value == "" or value != value


def _fits(code: int, dtype: str) -> bool:
    info = np.iinfo(dtype)
    return bool(info.min <= code <= info.max)


def _asked(its: ShapesOf) -> list[str]:
    return [*its.where, *its.of_place]


def _path(its: ShapesOf, source: Source, scene: Scene) -> Path:
    """Where a file of a scene lies on this machine."""
    found = hrefs.located(scene.hrefs[its.file], source.base, ())
    if "://" in found:
        raise ReadError(f"{found}: vector files are read from this machine; copy it")
    return Path(found)


def _near(
    its: ShapesOf, columns: Sequence[str], ground: Ground, source: Source, scene: Scene, key: str
) -> tuple[NDArray[np.object_], Shapes]:
    """The shapes that lie on a place and count there, in its CRS, and as the file has them."""
    path = _path(its, source, scene)
    of_all = source.form.file.layer if source.form and source.form.file else None
    layer = shapes.opened(path, its.layer or of_all, f"{key}.layer")
    if not layer.count and not its.may_be_empty:
        raise NoShapesError(
            f"{path}: layer {layer.name!r} is empty, expected shapes; say may_be_empty = true of [kind] {key} where nothing "
            "was found, or leave the file out"
        )
    if its.row is None:
        found = layer.near(ground.boxes(layer.crs), columns)
    else:
        found = layer.of_row(_row(ground.place, its.row, key), columns)
    keep = np.ones(len(found.geometry), bool)
    for column, wanted in its.where.items():
        texts = {text_of(w) for w in wanted}
        keep &= np.array([text_of(v) in texts for v in found.columns[column]], bool)
    for column, of_place in its.of_place.items():
        _check_column(ground.place, of_place, key)
        own = ground.place.text(of_place)
        alike = [own != "" and text_of(v) == own for v in found.columns[column]]
        keep &= np.array(alike, bool)
    found = found.taken(keep)
    moved = ground.moved(found.geometry, layer.crs)
    on_it = burning.touching(ground, moved)
    return moved[on_it], found.taken(on_it)


def _check_column(place: Location, column: str, key: str) -> None:
    """Passes where a place has a column."""
    if column not in place.columns:
        raise NoColumnError(
            f"{place.id}: places have no column {column!r}, which [kind] {key} names; their columns: "
            f"{', '.join(place.columns) or 'none'}: add it to the file of places"
        )


def _row(place: Location, column: str, key: str) -> int:
    """The row that a place says, counted from 0."""
    _check_column(place, column, key)
    row = place.columns[column]
    if not isinstance(row, int) or row < 1:
        raise NoColumnError(
            f"{place.id}: {column} = {row!r}, expected the number of a row, from 1, which [kind] {key} asks"
        )
    return row - 1
