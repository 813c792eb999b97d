"""A foreign dataset of chips, as a recipe for `curate import` states it: what becomes of it is a recipe like any other.

Such a recipe has a table `[dataset]`, which others have not. Its sources have the pick `chip`, its places are a table that
`curate import` makes beside it, and all that can be done with a dataset is done with this one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.recipe import foreignsource
from curation.recipe.card import CardSpec
from curation.recipe.columns import FORM, called, is_ours
from curation.recipe.footprint import MOST_M
from curation.recipe.foreignsource import LABEL, ForeignSource, chip_column
from curation.recipe.schema import CubeSpec, PackSpec, Recipe
from curation.recipe.seasons import EARLIEST, LATEST
from curation.recipe.sources import SourceSpec
from curation.recipe.strict import Name, StrictTable
from curation.recipe.toml import read_toml, tables_of

DATASET = "dataset"
"""The table that makes a recipe one of a foreign dataset."""

IMPORTED = "imported"
"""Folder beside the recipe with the tables of places."""

UNDATED = "undated"
"""The season of a recipe whose arrays are all without time: a recipe has one, and nothing is of it."""

SHARES = "class_shares"
"""The annotation that holds the share of each class, or 1 for each that is there."""

ADDRESS = "address"
"""The column of rows of Parquet that has what `files` sees of each: `data/train-0.parquet!17`."""


class ForeignSpec(StrictTable):
    """`[dataset]`."""

    name: Name
    title: str
    footprint_m: float = Field(gt=0, le=MOST_M)
    """Side of the ground that a sample covers, metres: what each chip is held against."""
    seed: int = Field(default=0, ge=0)
    """The order of samples in shards, and a split by blocks, follow from it."""


class TableSpec(StrictTable):
    """`[table]`: what is known of samples beside their files."""

    file: str | None = None
    """CSV, Parquet, GeoJSON, or JSON with a list of objects; relative to the dataset, or else to the recipe."""
    id: str = ADDRESS
    """The column with the samples' ids."""
    rows: str | None = None
    """Instead of both: Parquet files (`data/*.parquet`) whose rows are the samples, with their chips; ids are addresses."""
    columns: list[str] = Field(default_factory=list)
    """Columns that go along into tables, samples and batches."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.rows is None) or (self.rows is None) == (self.id == ADDRESS):
            raise ValueError("expected 'file' and 'id', its column of ids, or else 'rows', Parquet files of chips")
        return self


class PlaceSpec(StrictTable):
    """`[place]`: where samples are; either of both."""

    of: str | None = None
    """The source whose georeference says it."""
    lon: str | None = None
    lat: str | None = None
    """Columns of the table, degrees of WGS 84: the centre; the footprint is snapped to the grid of Sentinel-2."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.of is None) == (self.lon is None) or (self.lon is None) != (self.lat is None):
            raise ValueError(
                "expected 'of', the source whose georeference says it, or 'lon' and 'lat', columns of the table"
            )
        return self


class ForeignSplit(StrictTable):
    """`[split]`: which side a column of the table says. Each of its values is named, or samples would be trained on."""

    column: str
    train: list[str] = Field(min_length=1)
    val: list[str] = Field(min_length=1)
    leave_out: list[str] = Field(default_factory=list)
    """Values of samples that are not imported: a test set that stays one."""
    buffer_km: float = Field(default=5.0, ge=0)
    """As of any split: train samples nearer to one of val are used for neither."""


class ForeignLabels(StrictTable):
    """`[labels]`: of the table."""

    column: str | None = None
    """One class or number per sample: the target."""
    names: str | None = None
    """The column that lists each sample's classes."""
    shares: str | None = None
    """The column that lists the share of each of these; 1 where left out."""
    classes: list[str] = Field(default_factory=list)
    """All classes of `names`, in order."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.names is None) != (not self.classes) or (self.shares is not None and self.names is None):
            raise ValueError("'names' goes with 'classes', which it lists, and 'shares' with both")
        return self

    def shares_of(self, sample: str, names: list[str] | None, shares: list[float] | None) -> str | None:
        """The share of each class, in order, as JSON; None where the table lists none.

        Args:
            sample: its id, which errors name.
            names: its classes, as the table lists them.
            shares: the share of each, where the table has a column of them.

        Raises:
            ConfigError: they are none of the classes, or not one for each.
        """
        if names is None:
            return None
        values = [1.0] * len(names) if self.shares is None else shares
        if not isinstance(values, list) or len(values) != len(names):
            raise ConfigError(
                f"[labels]: sample {sample}: {len(names)} classes, shares {values!r}: expected one for each"
            )
        out = dict.fromkeys(self.classes, 0.0)
        for name, value in zip(names, values, strict=True):
            if name not in out:
                raise ConfigError(
                    f"[labels]: sample {sample}: class {name!r} is none of 'classes'; {did_you_mean(name, out)}name it there"
                )
            out[name] += float(value)
        return json.dumps(list(out.values()))


class ForeignRecipe(StrictTable):
    """All of a recipe for `curate import`."""

    dataset: ForeignSpec
    sources: dict[Name, ForeignSource] = Field(min_length=1)
    place: PlaceSpec
    table: TableSpec | None = None
    bands: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Bands that `stac_queries/` has not, by canonical name: `centre_nm`, `width_nm` …"""
    split: ForeignSplit | None = None
    """By blocks of ground where left out, as of any recipe."""
    labels: ForeignLabels = ForeignLabels()
    cube: CubeSpec = CubeSpec()
    pack: PackSpec = PackSpec()
    card: CardSpec = CardSpec()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.place.of is not None and self.place.of not in self.sources:
            raise ValueError(f"place.of = {self.place.of!r} is none of [sources]: {', '.join(self.sources)}")
        if self.place.of is not None and self.sources[self.place.of].mend.georeference == "ignore":
            raise ValueError(
                f"place.of = {self.place.of!r}: its georeference is not believed, as mend says: name another source, or lon "
                "and lat of the table"
            )
        column = None if self.labels.column == LABEL and self.tells_label else self.labels.column
        wants = [self.place.lon, self.split, column, self.labels.names, *(s.join for s in self.sources.values())]
        if self.table is None and any(w is not None for w in wants):
            raise ValueError("[place] lon and lat, [split], [labels] and 'join' are of columns of a table: add [table]")
        self._check_columns()
        return self

    def _check_columns(self) -> None:
        """Passes where columns of the table have a name each, and not one that an import gives. Raises ValueError."""
        names = {chip_column(source): "" for source in self.sources} | {SHARES_COLUMN: ""}
        for column in self.carried:
            its = carried_as(column)
            if not FORM.fullmatch(its):
                raise ValueError(
                    f"column {column!r} of the table: no name is left of it in a-z, 0-9, '_' and '-', or one of more than "
                    "60 of them: rename it in the table, or leave it out"
                )
            if (other := names.setdefault(its, column)) != column:
                said = f"columns {other!r} and {column!r} would both be" if other else f"column {column!r} would be"
                raise ValueError(
                    f"{said} called {its!r}{'' if other else ', as one that an import makes'}: leave one of them out"
                )

    @property
    def footprint_m(self) -> float:
        """Side of the ground that a sample covers, metres."""
        return self.dataset.footprint_m

    @property
    def tells_label(self) -> bool:
        """Whether paths say labels."""
        return any(LABEL in re.compile(s.files).groupindex for s in self.sources.values())

    @property
    def carried(self) -> list[str]:
        """Columns of the table that go along, each once."""
        own = [] if self.table is None else self.table.columns
        more = [self.labels.column, self.split.column if self.split else None, LABEL if self.tells_label else None]
        return list(dict.fromkeys([*own, *(c for c in more if c is not None)]))

    @property
    def places_file(self) -> str:
        """The table of places that an import makes, relative to the recipe."""
        return f"{IMPORTED}/{self.dataset.name}.parquet"

    def recipe(self) -> dict[str, Any]:
        """The recipe that it is, as TOML would state it."""
        columns = [
            *map(chip_column, self.sources),
            *map(carried_as, self.carried),
            *([SHARES_COLUMN] if self.labels.names else []),
        ]
        return {
            "name": self.dataset.name,
            "title": self.dataset.title,
            "seed": self.dataset.seed,
            "grid": {"size_m": self.dataset.footprint_m},
            "places": {"sampler": "file", "file": self.places_file, "columns": columns, "each_id": True},
            "seasons": {UNDATED: {"start": EARLIEST, "end": LATEST}},
            "sources": {name: {"required": its.required} for name, its in self.sources.items()},
            "labels": {} if self.labels.column is None else {"column": carried_as(self.labels.column)},
            "split": {}
            if self.split is None
            else {
                "rule": "column",
                "column": carried_as(self.split.column),
                "val": self.split.val,
                "buffer_km": self.split.buffer_km,
            },
            "annotations": self._annotations(),
            "cube": self.cube.model_dump(),
            "pack": self.pack.model_dump(),
            "card": self.card.model_dump(),
        }

    def _annotations(self) -> dict[str, Any]:
        if not self.labels.classes:
            return {}
        names = self.labels.classes
        its = {"function": SHARES, "type": "numbers", "shape": [len(names)], "title": f"share of {', '.join(names)}"}
        return {SHARES: its | {"names": names}}

    def source(self, name: str, archive: str) -> dict[str, Any]:
        """A source that it is, as its file would state it."""
        return foreignsource.stated(name, self.sources[name], self.bands, archive)


def carried_as(column: str) -> str:
    """What a column of the table is called here: `table_split` of `split`, which tables of samples have of themselves."""
    its = called(column)
    return f"table_{its}" if its and is_ours(its) else its


SHARES_COLUMN = "shares_of_classes"
"""Column of places that holds the shares of classes, as JSON, of which the annotation is made."""


def is_foreign(path: Path) -> bool:
    """Whether a recipe is one for `curate import`. Raises ConfigError of what is no TOML file."""
    return DATASET in tables_of(path)


def read(path: Path) -> ForeignRecipe:
    """The recipe in a file.

    Raises:
        ConfigError: it is none, or says something impossible; the key is named.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise ConfigError(f"--as {path}: {what}; expected a recipe for `curate import`")
    if not is_foreign(path):
        raise ConfigError(
            f"{path}: has no table [{DATASET}]: a recipe for `curate build`, expected one for `curate import`"
        )
    return read_toml(path, ForeignRecipe)


def resolved(path: Path, archive: str = "") -> tuple[Recipe, dict[str, SourceSpec]]:
    """The recipe and the sources that a file comes to.

    Args:
        path: of the recipe.
        archive: where the dataset lies; empty where nothing of it is to be read.

    Raises:
        ConfigError: as `read` does; or together they are none.
    """
    foreign = read(path)
    try:
        specs = {name: SourceSpec.model_validate(foreign.source(name, archive)) for name in foreign.sources}
        return Recipe.model_validate(foreign.recipe()), specs
    except ConfigError as err:
        raise ConfigError(f"{path}: {err}") from err
    except ValidationError as err:
        said = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in err.errors()
        )
        raise ConfigError(f"{path}: {said}") from err
