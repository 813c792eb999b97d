"""Which samples a foreign dataset has: its files matched to ids, ids to rows of its table, and each to a place on Earth."""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from curation.build.chips import check_crs
from curation.errors import ConfigError, ReadError
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.errors.words import counted, did_you_mean
from curation.model import Location
from curation.outcomes import Reject
from curation.places import grid, tablefile
from curation.read import archive, tortilla
from curation.read.chipform import ChipReader
from curation.recipe.chips import BAND
from curation.recipe.foreign import ADDRESS, SHARES_COLUMN, ForeignRecipe, carried_as
from curation.recipe.foreignsource import LABEL, chip_column

THREADS = 8
"""Chips that are read at a time for where they lie."""

Progress = Callable[[Iterable[Any], int], Iterator[Any]]
"""Gives what it is given, and tells how much of so many there was."""


@dataclass(frozen=True, slots=True)
class ForeignSample:
    """One sample of a foreign dataset."""

    id: str
    """As tars and tables have it: lower case."""
    addresses: Mapping[str, str]
    """Source → its chip; a source that has none for it is not there."""
    row: Mapping[str, Any]
    """What the table says of it."""


@dataclass(frozen=True, slots=True)
class ForeignPlace:
    """Where a sample is: its own grid, or its centre."""

    epsg: int | None = None
    x0_m: float | None = None
    y0_m: float | None = None
    lon: float | None = None
    lat: float | None = None


@dataclass(frozen=True, slots=True)
class ForeignScan:
    """What was found."""

    samples: tuple[ForeignSample, ...]
    """In order of id."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Value of the split's column → samples that the recipe leaves out for it."""
    unlisted: int = 0
    """Files of no row of the table."""

    def summary(self, foreign: ForeignRecipe) -> str:
        """For a person: how many there are, and chips of each source."""
        per = ", ".join(f"{n} {sum(n in s.addresses for s in self.samples)}" for n in foreign.sources)
        text = f"{counted(len(self.samples), 'sample')} (chips: {per})"
        out = ", ".join(f"{value} {n}" for value, n in self.left_out.most_common())
        text += f"; left out by [split]: {out}" if out else ""
        return text + (f"; {counted(self.unlisted, 'file')} of no row of the table" if self.unlisted else "")


def scan(foreign: ForeignRecipe, source: Path, recipe: Path) -> ForeignScan:
    """The samples of a dataset.

    Args:
        foreign: the recipe.
        source: the folder or file that it lies in.
        recipe: the recipe's path, which errors name.

    Raises:
        ConfigError: it has none, a sample has two chips of a source, or table and split do not go together.
    """
    found = _matched(foreign, source, recipe)
    _check_cells(foreign, archive.base_of(source), found, recipe)
    if foreign.table is None:
        ids = dict.fromkeys(name for of in found.addresses.values() for name in of)
        every = [(name, found.of(dict.fromkeys(foreign.sources, name)), found.row(name)) for name in ids]
        return _unique(every, recipe, Counter(), 0)
    used, left, samples = set[tuple[str, str]](), Counter[str](), list[tuple[str, dict[str, str], dict[str, Any]]]()
    for row in _rows(foreign, source, recipe):
        own = str(row[foreign.table.id])
        names = {s: str(row[its.join or foreign.table.id]) for s, its in foreign.sources.items()}
        used |= set(names.items())
        if foreign.split is None or _is_wanted(foreign, row, left, recipe):
            samples.append((own, found.of(names), {**row, **found.row(own)}))
    unlisted = sum((s, name) not in used for s, of in found.addresses.items() for name in of)
    return _unique(samples, recipe, left, unlisted)


@dataclass(frozen=True, slots=True)
class MatchedFiles:
    """Files by what their names say."""

    addresses: dict[str, dict[str, str]]
    """Source → id in its files → address, with `{band}` where each band has a file."""
    labels: dict[str, str] = field(default_factory=dict)
    """Id → the label that a path says."""

    def of(self, names: Mapping[str, str]) -> dict[str, str]:
        """Source → address, of those that have a file of the sample, which each calls as told."""
        return {s: self.addresses[s][name] for s, name in names.items() if name in self.addresses[s]}

    def row(self, name: str) -> dict[str, str]:
        """What paths say of a sample beside."""
        return {LABEL: self.labels[name]} if name in self.labels else {}


def _matched(foreign: ForeignRecipe, source: Path, recipe: Path) -> MatchedFiles:
    """All files that a source has. Raises ConfigError where it has none, or two of one sample."""
    found = MatchedFiles({name: {} for name in foreign.sources})
    out = found.addresses
    patterns = {name: re.compile(its.files) for name, its in foreign.sources.items()}
    total, example = 0, ""
    for address in archive.addresses(source):
        total, example = total + 1, example or address
        for name, pattern in patterns.items():
            if (match := pattern.search(address)) is None:
                continue
            template = address
            if "band" in pattern.groupindex:
                template = f"{address[: match.start('band')]}{BAND}{address[match.end('band') :]}"
            other = out[name].setdefault(match["id"], template)
            if other != template:
                raise ConfigError(
                    f"{recipe}: [sources.{name}] files: {other} and {template} are both of sample {match['id']!r}: expected "
                    "one; say more of the path"
                )
            if LABEL in pattern.groupindex and found.labels.setdefault(match["id"], match[LABEL]) != match[LABEL]:
                raise ConfigError(
                    f"{recipe}: [sources.{name}] files: sample {match['id']!r} is {found.labels[match['id']]!r} and "
                    f"{match[LABEL]!r} by its paths: expected one label; give each an id of its own"
                )
    if not total:
        raise ConfigError(f"{source}: no file is in it; expected a folder of chips, a tar, Tortilla, Parquet or HDF5")
    if empty := [name for name, of in out.items() if not of]:
        raise ConfigError(
            f"{recipe}: [sources.{empty[0]}] files = {foreign.sources[empty[0]].files!r}: none of {counted(total, 'file')} "
            f"of {source} is called so{f', the first is {example}' if example else ''}"
        )
    return found


def _check_cells(foreign: ForeignRecipe, base: Path, found: MatchedFiles, recipe: Path) -> None:
    """Passes where files of rows have the column that a source's chips are in. Raises ConfigError that names theirs."""
    for name, use in foreign.sources.items():
        if (cell := cast(ChipReader, use.form).cell) is None:
            continue
        for file in dict.fromkeys(archive.split(a)[0] for a in found.addresses[name].values() if archive.split(a)[1]):
            if cell not in (known := pq.read_schema(base / file).names):
                raise ConfigError(
                    f"{recipe}: [sources.{name}] form: {file} has no column {cell!r}; {did_you_mean(cell, known)}columns: "
                    f"{', '.join(known)}; say form = {{ name = {use.form.name!r}, key = … }}"
                )


def _unique(
    samples: Sequence[tuple[str, dict[str, str], Mapping[str, Any]]], recipe: Path, left: Counter[str], unlisted: int
) -> ForeignScan:
    """The samples by ids as tars have them. Raises ConfigError where two would be one, or there is none."""
    by_id: dict[str, tuple[str, ForeignSample]] = {}
    for name, addresses, row in samples:
        its = re.sub(r"[^a-z0-9_-]+", "-", name.lower())
        if its in by_id:
            raise ConfigError(
                f"{recipe}: samples {by_id[its][0]!r} and {name!r} would both be {its!r}: ids are of a-z, 0-9, '_' and '-'; "
                "give each another"
            )
        by_id[its] = (name, ForeignSample(its, addresses, row))
    if not by_id:
        raise ConfigError(f"{recipe}: no sample is left: [split] names {dict(left)} to be left out")
    return ForeignScan(tuple(by_id[k][1] for k in sorted(by_id)), left, unlisted)


def _is_wanted(foreign: ForeignRecipe, row: Mapping[str, Any], left: Counter[str], recipe: Path) -> bool:
    """Whether the split has the row's value; one that it leaves out is counted. Raises ConfigError for any other."""
    split = foreign.split
    assert split is not None
    value = str(row[split.column])
    if value in split.leave_out:
        left[value] += 1
        return False
    if value not in {*split.train, *split.val}:
        known = ", ".join([*split.train, *split.val, *split.leave_out])
        raise ConfigError(
            f"{recipe}: [split]: column {split.column!r} has {value!r}, expected one of {known}: name it in train, val or "
            "leave_out, since samples of no side would be trained on"
        )
    return True


def _rows(foreign: ForeignRecipe, source: Path, recipe: Path) -> list[dict[str, Any]]:
    """The table, by its own names. Raises ConfigError where it lacks a column that is asked for."""
    table = foreign.table
    assert table is not None
    joins = [s.join for s in foreign.sources.values()]
    if table.rows is not None:
        path, rows = archive.base_of(source) / table.rows, _rows_of_chips(archive.base_of(source), table.rows, recipe)
    else:
        path = _table_file(table.file or "", source, recipe)
        rows = _records(path, [table.id, *filter(None, joins)])
    of_table = [c for c in foreign.carried if c != LABEL or not foreign.tells_label]
    wanted = [
        table.id,
        *of_table,
        foreign.place.lon,
        foreign.place.lat,
        foreign.labels.names,
        foreign.labels.shares,
        *joins,
    ]
    known = {key for row in rows for key in row}
    for column in (c for c in wanted if c is not None and c not in known):
        raise ConfigError(
            f"{recipe}: {path}: no column {column!r}; {did_you_mean(column, known)}columns: {', '.join(sorted(known))}"
        )
    return [dict.fromkeys(known) | row for row in rows]


def _table_file(name: str, source: Path, recipe: Path) -> Path:
    near = [base / name for base in (archive.base_of(source), recipe.parent)]
    path = next((p for p in near if p.is_file()), None)
    if path is None:
        raise ConfigError(f"{recipe}: [table] file = {name!r}: no such file in {near[0].parent} or {near[1].parent}")
    return path


def _rows_of_chips(base: Path, pattern: str, recipe: Path) -> list[dict[str, Any]]:
    """Rows of Parquet files that hold chips, without these, or of tables of Tortilla files, each with its address."""
    out: list[dict[str, Any]] = []
    for path in sorted(base.glob(pattern)):
        if path.suffix.lower() in tortilla.ENDINGS:
            name = path.relative_to(base).as_posix()
            out += [{**row, ADDRESS: f"{name}{archive.INNER}{row[tortilla.ID]}"} for row in _items(path)]
            continue
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as err:
            raise ConfigError(
                f"{recipe}: [table] rows = {pattern!r}: {path}: no Parquet file: {one_line(err)}"
            ) from err
        plain = [f.name for f in schema if not pa.types.is_nested(f.type) and not pa.types.is_binary(f.type)]
        name = path.relative_to(base).as_posix()
        rows = pq.read_table(path, columns=plain).to_pylist() if plain else [{}] * pq.read_metadata(path).num_rows
        out += [{**row, ADDRESS: f"{name}{archive.INNER}{n}"} for n, row in enumerate(rows)]
    if not out:
        raise ConfigError(f"{recipe}: [table] rows = {pattern!r}: no row of a file of {base} that is called so")
    return out


def _items(path: Path) -> list[dict[str, Any]]:
    """The table of a Tortilla file. Raises ConfigError where it has none."""
    try:
        return tortilla.rows(path)
    except (OSError, ValueError, pa.ArrowException) as err:
        raise ConfigError(f"{path}: no Tortilla file: {one_line(err)}") from err


def _records(path: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    if path.suffix.lower() in tortilla.ENDINGS:
        return _items(path)
    if path.suffix.lower() == ".json":
        try:
            rows = json.loads(path.read_bytes())
        except ValueError as err:
            raise ConfigError(f"{path}: not JSON: {err}") from err
        if isinstance(rows, list) and all(isinstance(r, dict) for r in rows):
            return cast(list[dict[str, Any]], rows)
        if not (isinstance(rows, dict) and "type" in rows):
            raise ConfigError(f"{path}: JSON of something else, expected a list of objects, one a sample, or GeoJSON")
    frame = tablefile.read(path, texts=ids).frame
    frame = frame.drop(columns=[c for c in ("geometry",) if c in frame])
    return list(pa.Table.from_pandas(frame, preserve_index=False).to_pylist())


def places(
    foreign: ForeignRecipe, source: Path, samples: Iterable[ForeignSample], count: int, progress: Progress
) -> tuple[dict[str, ForeignPlace], dict[str, str]]:
    """Sample → where it is, and sample → why that is not known.

    Args:
        foreign: the recipe.
        source: the folder or file that the dataset lies in.
        samples: those that are asked for.
        count: how many these are.
        progress: is told of each.
    """
    found: dict[str, ForeignPlace] = {}
    lost: dict[str, str] = {}
    base = archive.base_of(source)

    def where(sample: ForeignSample) -> tuple[str, ForeignPlace | str]:
        try:
            return sample.id, _place(foreign, base, sample)
        except ReadError as err:
            return sample.id, one_line(err)
        except Reject as why:
            return sample.id, f"{why.code}: {why.cause}"

    with ThreadPoolExecutor(THREADS) as pool:
        for name, its in progress(pool.map(where, samples), count):
            if isinstance(its, str):
                lost[name] = its
            else:
                found[name] = its
    return found, lost


def _place(foreign: ForeignRecipe, base: Path, sample: ForeignSample) -> ForeignPlace:
    """Raises ReadError and Reject where it is not known."""
    by = foreign.place
    if by.of is None:
        lon, lat = (sample.row[c] for c in (by.lon or "", by.lat or ""))
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in (lon, lat)):
            raise Reject(Code.CHIP_PLACE, cause=f"the table says lon {lon!r}, lat {lat!r}")
        return ForeignPlace(lon=float(lon), lat=float(lat))
    if by.of not in sample.addresses:
        raise Reject(Code.NO_CHIP, cause=f"no chip of {by.of}, whose georeference says where it is")
    form = cast(ChipReader, foreign.sources[by.of].form)
    bands = foreign.sources[by.of].arrays[0].file_bands or [""]
    address = sample.addresses[by.of].replace(BAND, bands[0])
    chip = form.placed(archive.read(base, address, form.cell), address, bands[0])
    if chip.transform is None:
        raise Reject(Code.CHIP_CRS, cause=f"{address} states no transform")
    check_crs(chip)
    return ForeignPlace(epsg=chip.epsg, x0_m=round(chip.transform.c, 3), y0_m=round(chip.transform.f, 3))


def location(foreign: ForeignRecipe, sample: ForeignSample, its: ForeignPlace) -> Location:
    """The sample as a location, as the table of places will make one. Raises ConfigError where it has no zone."""
    size = foreign.footprint_m
    if its.lon is not None and its.lat is not None:
        epsg, x0, y0 = grid.snapped(its.lon, its.lat, size)
    else:
        epsg, x0, y0 = cast(int, its.epsg), cast(float, its.x0_m), cast(float, its.y0_m)
    lon, lat = grid.transformer(epsg, 4326).transform(x0 + size / 2, y0 - size / 2)
    columns = {chip_column(n): sample.addresses.get(n, "") for n in foreign.sources}
    return Location(sample.id, lon, lat, epsg, x0, y0, size, "", columns=columns)


def table(foreign: ForeignRecipe, samples: Iterable[ForeignSample], found: Mapping[str, ForeignPlace]) -> bytes:
    """The table of places, as Parquet: a row per sample whose place is known, with the addresses of its chips.

    Raises:
        ConfigError: labels of the table are none of the classes.
    """
    mine = [s for s in samples if s.id in found]
    columns: dict[str, Any] = {"id": [s.id for s in mine]}
    if foreign.place.of is None:
        columns |= {key: [getattr(found[s.id], key) for s in mine] for key in ("lon", "lat")}
    else:
        columns |= {key: [getattr(found[s.id], key) for s in mine] for key in ("epsg", "x0_m", "y0_m")}
    columns |= {chip_column(n): [s.addresses.get(n, "") for s in mine] for n in foreign.sources}
    columns |= {carried_as(c): _values([s.row.get(c) for s in mine], c) for c in foreign.carried}
    if foreign.split is not None:  # by whose values, as text, sides are told
        columns[carried_as(foreign.split.column)] = [str(s.row[foreign.split.column]) for s in mine]
    if foreign.labels.names is not None:
        columns[SHARES_COLUMN] = [_shares(foreign, s) for s in mine]
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


def _values(values: list[Any], column: str) -> pa.Array:
    try:
        made = pa.array(values)
    except (pa.ArrowException, TypeError) as err:
        raise ConfigError(f"[table] columns: {column!r}: holds values of several kinds: {err}; leave it out") from err
    if pa.types.is_nested(made.type):
        raise ConfigError(f"[table] columns: {column!r}: holds lists or objects, expected one value each; leave it out")
    return made.cast(pa.string()) if pa.types.is_null(made.type) else made


def _shares(foreign: ForeignRecipe, sample: ForeignSample) -> str | None:
    labels = foreign.labels
    return labels.shares_of(sample.id, sample.row[labels.names or ""], sample.row.get(labels.shares or ""))
