"""Who is asked for scenes, source by source: names resolved to an endpoint or a file, and to the form its items have."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, RootModel

from curation.errors import ConfigError
from curation.errors.printable import printable, remember, unsigned
from curation.errors.words import did_you_mean
from curation.recipe import files, folders
from curation.recipe.access import Accesses, AccessTable
from curation.recipe.dataset import Dataset
from curation.recipe.digests import digest
from curation.recipe.folders import MOST_JSON_BYTES, geotiffs
from curation.recipe.forms import CatalogForm
from curation.recipe.sources import SourceSpec
from curation.recipe.strict import StrictTable
from curation.recipe.toml import read_toml
from curation.store import hrefs, local

PARQUET = (".parquet", ".geoparquet")

FOLDER = "folder"
"""The form of a folder of files without any STAC: `[catalogs.folder]` of a source, or `[catalogs."*"]`, with `file`."""

OF_PLACES = "places"
"""What the recipe's file of places is to digests, of which a shape at a time is in those that bind cubes to places."""

CHIPS = "chips"
"""Who is asked for sources of a foreign dataset: nobody. Their places name the files, which is what digests have of them."""

EMBEDDED = "embedded"
"""The small Earth that is served by the command itself."""

EARTHS = {EMBEDDED: "plain", f"{EMBEDDED}-hard": "hard"}
"""Catalogs that are such, and what each is called there (`embedded/world/traits.py`)."""

DEFAULT_FORM = "planetary-computer"
"""How the items of an unnamed catalog are read."""


class CatalogSpec(StrictTable):
    """One entry of `stac_queries/catalogs.toml`."""

    title: str
    url: str | None = None
    form: str | None = None
    """The named catalog whose form its items have; its own name where left out."""
    alternate: str = ""
    """Which of the other hrefs of an asset (STAC's `alternate`) is read; its first one where left out."""
    access: AccessTable = Field(default_factory=dict)
    """By scheme, what lets one in where its files lie; what the environment says to all of one that is left out."""
    named_by: str = ""
    """The flag that says who it is, of one without an address; until then who is asked for the rest stands in for it."""


class CatalogTable(RootModel[dict[str, CatalogSpec]]):
    """All of `stac_queries/catalogs.toml`."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """A catalog that can be asked."""

    identity: str
    """What it is in digests: its name or URL, or the digest of its file or files. Never a port or a path, nor a secret."""
    form: str
    """The named catalog whose form its items have."""
    location: str
    """URL of the API, printable, or path of the file or folder; for the embedded Earth set when it is served."""
    is_file: bool
    own: bool
    """Not one of the public ones: it may have what they lack."""
    secret_url: str = field(default="", repr=False, compare=False)
    """URL of the API with what lets one in, where it has that: for searches, and never told, stored, or sent to a worker."""

    alternate: str = ""
    """As its row of `catalogs.toml` says."""
    access: Accesses = field(default_factory=dict, hash=False, compare=False)
    """By scheme, what lets one in where its files lie: names of variables, never what they hold."""

    def __reduce__(self) -> tuple[type[Catalog], tuple[Any, ...]]:
        of_api = (self.identity, self.form, self.location, self.is_file, self.own, "")
        return (Catalog, (*of_api, self.alternate, self.access))

    @property
    def is_remote(self) -> bool:
        """Whether it is files elsewhere: STAC-GeoParquet on a server, or in a bucket."""
        return self.is_file and "://" in self.location

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of GeoTIFFs or vector files, of which items are made."""
        return self.form == FOLDER

    @property
    def base(self) -> str:
        """What relative hrefs are told from: the API's origin, or the file's folder."""
        return _base(self.location, self.is_file)

    @property
    def served_url(self) -> str:
        """`base` where scenes are served by this machine to itself, as a named catalog is that has no URL; else empty."""
        return self.base if self.own and not self.is_file and "://" not in self.identity else ""

    @property
    def label(self) -> str:
        """How a person knows it: its name or URL, or the path of its file."""
        return self.location if self.is_file else self.identity

    @property
    def slug(self) -> str:
        """Its identity as a folder name."""
        text = self.identity.split("://")[-1].lower()
        return "".join(c if c.isalnum() else "-" for c in text).strip("-")

    def form_of(self, spec: SourceSpec) -> CatalogForm | None:
        """How this catalog offers a source; None where it does not."""
        form = spec.catalogs.get(self.form) or (spec.catalogs.get("*") if self.own else None)
        return form if form is not None and (form.file is not None) == self.is_folder else None

    def access_of(self, spec: SourceSpec) -> Accesses:
        """What lets one in where files of a source lie: as its form says, else as the catalog does."""
        form = self.form_of(spec)
        return {**self.access, **(form.access if form else {})}


@dataclass(frozen=True, slots=True)
class Catalogs:
    """Who is asked for each source."""

    default: Catalog
    """For all that are not `apart`; its name says what `--region all` means."""
    apart: tuple[tuple[str, Catalog], ...] = ()
    """Source and the catalog asked for it, where that is another one."""

    def of(self, source: str) -> Catalog:
        """The catalog that is asked for a source."""
        return next((its for name, its in self.apart if name == source), self.default)

    def distinct(self, sources: Iterable[str]) -> list[Catalog]:
        """Those that are asked for any of some sources, each once."""
        return list(dict.fromkeys(map(self.of, sources)))

    def form_of(self, spec: SourceSpec) -> CatalogForm | None:
        """How the catalog of a source offers it; None where it does not."""
        return self.of(spec.name).form_of(spec)

    @property
    def every(self) -> list[Catalog]:
        """The default, and those apart."""
        return list(dict.fromkeys([self.default, *(its for _, its in self.apart)]))

    @property
    def served_url(self) -> str:
        """As of `Catalog`: where this machine serves scenes to itself, where one of them does; else empty."""
        return next((c.served_url for c in self.every if c.served_url), "")

    @property
    def label(self) -> str:
        """How a person knows them: `planetary-computer, s3olci: cdse`."""
        return ", ".join([self.default.label, *(f"{name}: {its.label}" for name, its in self.apart)])


@functools.lru_cache(maxsize=64)  # asked for each href
def _base(location: str, is_file: bool) -> str:
    if is_file and "://" in location:
        return location.rpartition("/")[0] if location.lower().endswith(PARQUET) else location
    if is_file:
        path = Path(location).resolve()
        return str(path if path.is_dir() else path.parent)
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc}"


def resolve(text: str, served_at: str | None = None) -> Catalog:
    """The catalog that `--catalog` names: a name, a STAC API's URL, an ItemCollection, STAC-GeoParquet, or GeoTIFFs.

    STAC-GeoParquet is one file, or a folder of `.parquet` files; a folder without these is one of GeoTIFFs, in it or below.

    A `form+` before a URL or path says whose form its items have (`earth-search+https://…`).

    Args:
        text: what the user gave.
        served_at: where the embedded Earth answers.

    Raises:
        ConfigError: it is none of these.
    """
    known = table()
    if (row := unnamed().get(text.partition("+")[0])) is not None:
        raise ConfigError(
            f"catalog {printable(text)!r}: has no address, it is who {row.named_by} names: say {row.named_by}, or another "
            "catalog"
        )
    if text in known:
        spec = known[text]
        url = spec.url or served_at
        if url is None:
            raise ConfigError(f"catalog {text!r} is not being served; use it through `curate --catalog {text}`")
        return _remote(text, spec.form or text, url, own=spec.url is None, row=spec)
    form, rest, row = DEFAULT_FORM, text, None
    head, plus, tail = text.partition("+")
    if plus and head in known:
        form, rest, row = known[head].form or head, tail, known[head]
    if "://" in rest:
        name = unsigned(rest).rpartition("/")[2]
        if name.lower().endswith(PARQUET) or (hrefs.scheme_of(rest) in hrefs.BUCKETS and "." not in name):
            return _remote("", form, rest, own=True, row=row, is_file=True)
        if not rest.lower().startswith(("http://", "https://")):
            raise ConfigError(
                f"catalog {printable(text)!r}: expected an http(s) URL of a STAC API or a .parquet file, a bucket of "
                f"such files, a path, or one of {sorted(known)}"
            )
        return _remote("", form, rest, own=True, row=row)
    path = Path(rest)
    if not path.is_dir() and (kind := local.other(path)) is not None:
        raise ConfigError(f"catalog {text!r}: is {kind}, expected a file, or a folder with .parquet files or GeoTIFFs")
    if path.is_dir() and not parquet_parts(path) and (tiffs := geotiffs(path)):
        return Catalog(f"folder-{folders.heads(path, tiffs)[:16]}", FOLDER, str(path), is_file=True, own=True)
    if not path.is_file() and not (path.is_dir() and parquet_parts(path)):
        raise ConfigError(
            f"catalog {printable(text)!r}: neither a known catalog ({', '.join(sorted(known))}), nor a URL, "
            "nor a file that exists, nor a folder with .parquet files or GeoTIFFs"
            f"{'; ' + hint.strip() if (hint := did_you_mean(rest, known)) else ''}"
        )
    if path.is_file() and path.suffix not in PARQUET:
        local.check(path, f"catalog {text!r}", MOST_JSON_BYTES)
    return _with_access(
        Catalog(f"file-{folders.content(path, parquet_parts(path))[:16]}", form, str(path), is_file=True, own=True), row
    )


def _with_access(catalog: Catalog, row: CatalogSpec | None) -> Catalog:
    """The catalog, with what the row whose form it has says of its files.

    Which href is read changes what is saved of it, so that an own one that takes others is another.
    """
    if row is None:
        return catalog
    name = catalog.identity if not (row.alternate and catalog.own) else f"{catalog.identity}#{row.alternate}"
    return replace(catalog, identity=name, alternate=row.alternate, access=row.access)


def table() -> dict[str, CatalogSpec]:
    """Every catalog that has a name and can be asked, as `catalogs.toml` states it.

    Raises:
        ConfigError: it states one wrongly.
    """
    return {name: row for name, row in _rows().items() if not row.named_by}


def unnamed() -> dict[str, CatalogSpec]:
    """Those that a flag names, likewise."""
    return {name: row for name, row in _rows().items() if row.named_by}


def _rows() -> dict[str, CatalogSpec]:
    return read_toml(files.folder("stac_queries") / "catalogs.toml", CatalogTable).root


def _remote(name: str, form: str, url: str, *, own: bool, row: CatalogSpec | None, is_file: bool = False) -> Catalog:
    """The catalog at a URL; called by that where it has no name. Files there are what the URL says, whatever they hold."""
    remember(url)
    shown = unsigned(url).rstrip("/")
    try:
        parts = urlsplit(url)
        fault = "" if parts.hostname else "it has no host"
        _ = parts.port  # is looked at when it is asked for
    except ValueError as err:
        fault = printable(err)
    if fault:
        raise ConfigError(f"catalog {shown!r}: no URL ({fault}); expected one such as https://host/path: mend it")
    secret = url if url.rstrip("/") != shown else ""
    return _with_access(Catalog(name or shown, form, shown, is_file=is_file, own=own, secret_url=secret), row)


def parquet_parts(path: Path) -> list[Path]:
    """The STAC-GeoParquet files of a catalog, in order; none where it is of another kind.

    Of a folder, those in it, and those in its folders that are themselves called `….parquet`, as one collection often is.
    """
    if not path.is_dir():
        return [path] if path.suffix in PARQUET else []
    found = [p for p in path.iterdir() if p.suffix in PARQUET]
    found += [q for p in found if p.is_dir() for q in p.iterdir() if q.suffix in PARQUET]
    return sorted(p for p in found if p.is_file())


def named(dataset: Dataset, catalog: str | None = None, apart: Mapping[str, str] | None = None) -> dict[str, str]:
    """Source → the catalog asked for it, as it was told; by an empty name the default.

    What is said of one source goes before what is said of all, and of either what is told when a step is called before what
    the recipe says: so `--catalog X` alone asks X for all of which the recipe names nobody. The embedded Earth is a world of
    its own, of which all is: told so, it is asked for what the recipe says of one source, too. A catalog that a flag names
    (`unnamed`) is nobody until it does: the default stands in for it, in digests, too. A source that says where its files
    lie (`FileForm.folder`) asks these where nobody names another for it.

    Args:
        dataset: the recipe.
        catalog: who is asked for all that neither `apart` nor the recipe names one for; whom the recipe says where None.
        apart: source, or a pattern of sources (`s5p-*`) → who is asked for it.

    Raises:
        ConfigError: a name or pattern is of no source of the recipe, or two are of one; or all sources are chips of the
            dataset's own.
    """
    recipe = dataset.recipe
    if (catalog or apart) and asks_nobody(dataset):
        first = catalog or "=".join(next(iter((apart or {}).items())))
        raise ConfigError(
            f"--catalog {printable(first)}: {dataset.path} is a recipe for `curate import`, whose chips are read where they "
            "lie; no catalog is asked for them: leave --catalog out"
        )
    rest = catalog or recipe.catalog
    nobody = unnamed()
    its = {n: use.catalog for n, use in recipe.sources.items() if catalog not in EARTHS and use.catalog not in nobody}
    own = _with_files(dataset)
    found = {"": rest} | {n: its.get(n) or own.get(n) or rest for n in recipe.sources}
    said: dict[str, str] = {}
    for pattern, text in (apart or {}).items():
        names = fnmatch.filter(recipe.sources, pattern)
        if not names:
            raise ConfigError(
                f"--catalog {printable(f'{pattern}={text}')}: {dataset.path} has no source {pattern!r}; "
                f"{did_you_mean(pattern, recipe.sources)}its sources: {', '.join(sorted(recipe.sources))}. A path with "
                "'=' in it is written ./a=b"
            )
        for name in names:
            if name in said:
                raise ConfigError(
                    f"--catalog: source {name!r} is named by {said[name]!r} and by {pattern!r}; say it once"
                )
            said[name], found[name] = pattern, text
    return found


def asks_nobody(dataset: Dataset) -> bool:
    """Whether all of a recipe is chips of its own, as of `curate import`."""
    return not any(spec.pick.searches for spec in dataset.specs.values())


def _with_files(dataset: Dataset) -> dict[str, str]:
    """Source → the folder that its file says its files lie in, of those that say so."""
    forms = {name: spec.catalogs[FOLDER].file for name, spec in dataset.specs.items() if FOLDER in spec.catalogs}
    return {n: str(dataset.path.parent / form.folder) for n, form in forms.items() if form and form.folder}


def of_files(spec: SourceSpec, folder: str) -> Catalog:
    """The catalog that is the folder of a source's own files.

    Raises:
        ConfigError: it is none, or has no file that is called as the source says.
    """
    its, where = spec.catalogs.get(FOLDER), f"source {spec.name!r}: [catalogs.folder] file"
    path, form = Path(folder), its.file if its else None
    if not path.is_dir() and (form is None or not form.of_places):
        raise ConfigError(f"{where}: folder {folder!r}: no such folder; expected one, relative to the recipe")
    if form is None or not spec.kind.holds_shapes:
        return resolve(folder)
    found = folders.contents(path, form.pattern, where)
    return Catalog(f"folder-{found[:16]}", FOLDER, folder, is_file=True, own=True)


def resolve_all(
    dataset: Dataset,
    catalog: str | None = None,
    apart: Mapping[str, str] | None = None,
    served_at: str | None = None,
) -> Catalogs:
    """The catalogs that a recipe and `--catalog` name, as `named` has it, each resolved once.

    Args:
        dataset: the recipe.
        catalog: as `named` has it.
        apart: as `named` has it.
        served_at: where the embedded Earth answers.

    Raises:
        ConfigError: one is no catalog, or of no source.
    """
    texts = named(dataset, catalog, apart)
    own, specs = _with_files(dataset), dataset.specs
    with_files = {
        n: t for n, t in texts.items() if n and (t == own.get(n) or (specs[n].kind.holds_shapes and Path(t).is_dir()))
    }
    nobody = Catalog(CHIPS, CHIPS, CHIPS, is_file=True, own=True)
    if asks_nobody(dataset):
        return Catalogs(nobody)
    chips = {n: nobody for n, s in specs.items() if not s.pick.searches}
    asked = {name: text for name, text in texts.items() if name not in {*with_files, *chips}}
    found = {text: resolve(text, served_at) for text in dict.fromkeys(asked.values())}
    default = found[texts[""]]
    its = {name: found[text] for name, text in asked.items() if name} | chips
    its |= {name: of_files(specs[name], folder) for name, folder in with_files.items()}
    return Catalogs(default, tuple((name, one) for name, one in its.items() if one != default))


def pixels_parts(dataset: Dataset, catalogs: Catalogs) -> dict[str, Any]:
    """All that changes a cube made from catalogs, as plain JSON values.

    What is made of the file of places is not known by all of that, where places tell what of it is theirs.
    """
    identities = {name: catalogs.of(name).identity for name in dataset.specs}
    identities |= {name: OF_PLACES for name in _with_files(dataset) if _is_of_places(dataset, name, catalogs)}
    return dataset.pixels_parts(identities, {name: catalogs.form_of(spec) for name, spec in dataset.specs.items()})


def _is_of_places(dataset: Dataset, name: str, catalogs: Catalogs) -> bool:
    """Whether a source is made of the recipe's file of places, whose columns tell all that is theirs."""
    spec = dataset.specs[name]
    form = catalogs.form_of(spec)
    asked = catalogs.of(name).location == _with_files(dataset)[name]
    return bool(form and form.file and form.file.of_places and asked and spec.kind.known_by_places)


def pixels_digest(dataset: Dataset, catalogs: Catalogs) -> str:
    """Digest of `pixels_parts`."""
    return digest(pixels_parts(dataset, catalogs))
