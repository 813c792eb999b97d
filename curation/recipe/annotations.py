"""What samples carry beside pixels, as `[annotations]` of a recipe states it. Code is read here, and never executed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from curation.errors import ConfigError
from curation.format.annotations import AnnotationEntry, Kind
from curation.format.bands import BandEntry
from curation.recipe import files, vocabulary
from curation.recipe.strict import StrictTable

_FUNCTION = re.compile(r"(?:([^:]+\.py):)?([A-Za-z_][A-Za-z0-9_]*)")


FIRST_YEAR, LAST_YEAR = 1900, 2100
"""Of months that are read: what is beyond is a typo."""


class ZarrSpec(StrictTable):
    """`[annotations.<name>.zarr]`: the Zarr store whose monthly means an annotation is.

    Where the store lies is in no digest: what it says of itself, and what was read of it, is in that of the release.
    """

    url: str = Field(min_length=1, exclude=True)
    """A URL (`https://`, `gs://`, `s3://` …), or a folder, relative to the recipe."""
    by_catalog: dict[str, str] = Field(default_factory=dict, exclude=True)
    """By catalog, where it lies there instead: relative to the catalog's address, or a URL."""
    variables: dict[str, str] = Field(min_length=1)
    """Variable → its unit, as the store has to state it; in the order of the vector's last axis."""
    years: list[int] = Field(min_length=1)
    """Whose months are averaged, calendar month by calendar month."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if odd := [y for y in self.years if not FIRST_YEAR <= y <= LAST_YEAR or self.years.count(y) > 1]:
            raise ValueError(f"years: {odd[0]}: expected years from {FIRST_YEAR} to {LAST_YEAR}, each once")
        return self

    def where(self, catalog: str) -> str:
        """Where it lies, as the recipe says for a catalog, by its identity."""
        return self.by_catalog.get(catalog, self.url)


class PointsSpec(StrictTable):
    """`[annotations.<name>.points]`: a table of points with a class each, of which those within a sample are counted."""

    file: str = Field(min_length=1)
    """CSV, Parquet, or a vector file of points, relative to the recipe; its content is in the release's digest."""
    by_catalog: dict[str, str] = Field(default_factory=dict, exclude=True)
    """By catalog, the file that is read instead, relative to the recipe: of the embedded Earth its own."""
    column: str = Field(min_length=1)
    """The one that has the class of each row."""
    names: list[str] | None = Field(default=None, min_length=1)
    """Classes in the order of the counts; those that the file has, sorted, where left out. Rows of others are of none."""

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        if twice := [c for c in self.names or [] if (self.names or []).count(c) > 1]:
            raise ValueError(f"names: {twice[0]!r} stands there twice; name each once")
        return self

    def where(self, catalog: str) -> str:
        """Which file, as the recipe says for a catalog, by its identity."""
        return self.by_catalog.get(catalog, self.file)


class CaptionsSpec(StrictTable):
    """`[annotations.<name>.captions]`: in which words captions are written, and which were rewritten.

    What stands in the files is in the digest of the release.
    """

    words: str = Field(default="en", pattern=r"^[A-Za-z0-9_/-]+(\.toml)?$")
    """A language that comes along (a file of `stac_queries/captions/`), or a file of words, relative to the recipe."""
    rewritten: str = ""
    """A file that `curate captions rewrite` wrote, relative to the recipe."""


class EmbeddingSpec(StrictTable):
    """`[annotations.<name>.embedding]`: a table of vectors by key and season, of which each sample's are taken.

    What stands in the file is in the digest of the release.
    """

    file: str = Field(min_length=1)
    """Parquet, as `curate embed --to` writes it, relative to the recipe."""


class AnnotationSpec(StrictTable):
    """One annotation: who makes it, and what it is."""

    function: str = Field(pattern=rf"^(?:{_FUNCTION.pattern})$")
    """A built-in (`caption`), or `<file>.py:<function>`, of a file beside the recipe."""
    type: Kind
    """`text`, `json`, `numbers` (float64) or `vectors` (float32)."""
    shape: list[int] = Field(default_factory=list)
    """Of numbers and vectors: `[768]`; left out of a single number."""
    ragged: bool = False
    """Of vectors: each sample has 1 to `shape[0]` of them, and not always as many."""
    column: bool = False
    """Whether it is a domain column, of text or a single number: in the samples table and `meta.json`, not a member."""
    title: str = ""
    """For a person."""
    names: list[str] | None = Field(default=None, exclude_if=lambda value: value is None)
    """What each number along the last axis is of, in order, for who reads the index; of a built-in that `zarr` or `points`
    tells it of, what these say."""
    zarr: ZarrSpec | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of a built-in that reads one, for all samples at once: which store, and what of it."""
    points: PointsSpec | None = Field(default=None, exclude_if=lambda value: value is None)
    """Likewise of one that reads a table of points."""
    embedding: EmbeddingSpec | None = Field(default=None, exclude_if=lambda value: value is None)
    """Likewise of one that reads a table of vectors."""
    captions: CaptionsSpec | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of one that writes captions: in which words. `caption` has those of `captions` where it is left out."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        _ = self.entry
        if self.column and (self.shape or self.type not in ("text", "numbers")):
            raise ValueError("column = true is for a text or a single number: leave 'shape' out, or 'column'")
        return self

    @property
    def entry(self) -> AnnotationEntry:
        """What the index says of it. Raises ValueError where there is no such annotation."""
        if any(side < 1 for side in self.shape):
            raise ValueError(f"shape: got {self.shape}, expected sides of at least 1")
        return AnnotationEntry(self.title, self.type, tuple(self.shape), self.ragged, self._names, self._canonical)

    @property
    def _names(self) -> tuple[str, ...] | None:
        """Of the last axis. Raises ValueError where they are told twice."""
        known = list(self.zarr.variables) if self.zarr is not None else self.points.names if self.points else None
        if known is not None and self.names is not None:
            raise ValueError("names: 'zarr' or 'points' tells them; leave one of both out")
        if known is not None and self.shape[-1:] != [len(known)]:
            return None  # who makes it refuses it
        found = self.names if known is None else known
        return None if found is None else tuple(found)

    @property
    def _canonical(self) -> tuple[BandEntry | None, ...] | None:
        """The bands that variables of a store are; None where none is one, or there are not as many as the shape says."""
        if self.zarr is None or self.shape[-1:] != [len(self.zarr.variables)]:
            return None
        bands = [vocabulary.variable(name, unit) for name, unit in self.zarr.variables.items()]
        return tuple(None if b is None else b.entry for b in bands) if any(bands) else None


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation with the code that makes it, as it was read: what is executed is what was hashed."""

    name: str
    spec: AnnotationSpec
    called: str
    """Name of the function."""
    file: str = ""
    """Path of the file of a user's own; empty of a built-in."""
    source: bytes = b""
    """What stands in it; of a built-in that writes captions the file of words."""
    rewritten: Path | None = None
    """Of such a one the file of texts that were rewritten, which is read when shards are packed."""

    @property
    def label(self) -> str:
        """Where it is made, for a person: the file as the recipe names it, and the function."""
        return self.spec.function

    @property
    def sha256(self) -> str:
        """Of the file, in hexadecimal; empty of a built-in without one."""
        return hashlib.sha256(self.source).hexdigest() if self.source or self.file else ""


def read(specs: Mapping[str, AnnotationSpec], recipe: Path) -> dict[str, Annotation]:
    """The annotations of a recipe, each with its code, by name.

    Raises:
        ConfigError: a file is not there, or does not lie in the folder of the recipe.
    """
    own = next((s.captions for _, s in sorted(specs.items()) if s.function == CAPTIONS and s.captions), CaptionsSpec())
    return {name: _read(name, spec, recipe, spec.captions or own) for name, spec in sorted(specs.items())}


CAPTIONS, CAPTION = "captions", "caption"
"""Built-ins that write them, and the first of them: in the same words, unless these are told apart."""

LANGUAGES = "captions"
"""Folder of `stac_queries/` with a file of words per language."""


def _read(name: str, spec: AnnotationSpec, recipe: Path, words: CaptionsSpec) -> Annotation:
    found = _FUNCTION.fullmatch(spec.function)
    assert found is not None  # the schema has matched it
    file, called = found.groups()
    where = f"{recipe}: [annotations.{name}"
    if file is None and called in (CAPTIONS, CAPTION):
        rewritten = files.beside(recipe, words.rewritten, f"{where}.captions] rewritten") if words.rewritten else None
        return Annotation(name, spec, called, "", _words(words.words, recipe, where), rewritten)
    if file is None:
        return Annotation(name, spec, called)
    path = files.beside(recipe, file, f"{where}] function = {spec.function!r}")
    return Annotation(name, spec, called, str(path), path.read_bytes())


def _words(words: str, recipe: Path, where: str) -> bytes:
    """The file of words.

    Raises:
        ConfigError: there is none.
    """
    if words.endswith(".toml"):
        return files.beside(recipe, words, f"{where}.captions] words = {words!r}").read_bytes()
    folder = files.folder("stac_queries") / LANGUAGES
    known = {p.stem: p for p in sorted(folder.glob("*.toml"))}
    if words not in known:
        raise ConfigError(
            f"{where}.captions] words = {words!r}: no such language comes along; known: {', '.join(known)}; name a file of "
            "yours beside the recipe, '<language>.toml'"
        )
    return known[words].read_bytes()
