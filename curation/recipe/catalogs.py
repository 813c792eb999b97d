"""Who is asked for scenes: `--catalog` resolved to an endpoint or a file, and to the form its items have."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import RootModel

from curation.errors import ConfigError
from curation.errors.printable import printable, remember, unsigned
from curation.errors.words import did_you_mean
from curation.recipe import files
from curation.recipe.dataset import Dataset
from curation.recipe.digests import digest
from curation.recipe.sources import CatalogForm, SourceSpec
from curation.recipe.strict import Strict
from curation.recipe.toml import read_toml
from curation.store import hrefs, local

MOST_JSON_BYTES = 512 * 2**20
"""Of a catalog in one JSON file, which is held whole: some 200,000 items. STAC-GeoParquet is read in batches."""

PARQUET = (".parquet", ".geoparquet")

DEFAULT_FORM = "planetary-computer"
"""How the items of an unnamed catalog are read."""


class CatalogSpec(Strict):
    """One entry of `stac_queries/catalogs.toml`."""

    title: str
    url: str | None = None
    form: str | None = None
    """The named catalog whose form its items have; its own name where left out."""


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

    def __reduce__(self) -> tuple[type[Catalog], tuple[str, str, str, bool, bool]]:
        return (Catalog, (self.identity, self.form, self.location, self.is_file, self.own))

    @property
    def is_remote(self) -> bool:
        """Whether it is files elsewhere: STAC-GeoParquet on a server, or in a bucket."""
        return self.is_file and "://" in self.location

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
        form = spec.catalogs.get(self.form)
        return form or (spec.catalogs.get("*") if self.own else None)


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
    """The catalog that `--catalog` names: a name, a STAC API's URL, an ItemCollection, or STAC-GeoParquet.

    The latter is one file, or a folder of `.parquet` files.

    A `form+` before a URL or path says whose form its items have (`earth-search+https://…`).

    Args:
        text: what the user gave.
        served_at: where the embedded Earth answers.

    Raises:
        ConfigError: it is none of these.
    """
    table = read_toml(files.folder("stac_queries") / "catalogs.toml", CatalogTable).root
    if text in table:
        spec = table[text]
        url = spec.url or served_at
        if url is None:
            raise ConfigError(f"catalog {text!r} is not being served; use it through `curate --catalog {text}`")
        return _remote(text, spec.form or text, url, own=spec.url is None)
    form, rest = DEFAULT_FORM, text
    head, plus, tail = text.partition("+")
    if plus and head in table:
        form, rest = table[head].form or head, tail
    if "://" in rest:
        name = unsigned(rest).rpartition("/")[2]
        if name.lower().endswith(PARQUET) or (hrefs.scheme_of(rest) in hrefs.BUCKETS and "." not in name):
            return _remote("", form, rest, own=True, is_file=True)
        if not rest.lower().startswith(("http://", "https://")):
            raise ConfigError(
                f"catalog {printable(text)!r}: expected an http(s) URL of a STAC API or a .parquet file, a bucket of "
                f"such files, a path, or one of {sorted(table)}"
            )
        return _remote("", form, rest, own=True)
    path = Path(rest)
    if not path.is_dir() and (kind := local.other(path)) is not None:
        raise ConfigError(f"catalog {text!r}: is {kind}, expected a file, or a folder with .parquet files")
    if not path.is_file() and not (path.is_dir() and parquet_parts(path)):
        raise ConfigError(
            f"catalog {printable(text)!r}: neither a known catalog ({', '.join(sorted(table))}), nor a URL, "
            "nor a file that exists, nor a folder with .parquet files"
            f"{'; ' + hint.strip() if (hint := did_you_mean(rest, table)) else ''}"
        )
    if path.is_file() and path.suffix not in PARQUET:
        local.check(path, f"catalog {text!r}", MOST_JSON_BYTES)
    return Catalog(f"file-{_content(path)[:16]}", form, str(path), is_file=True, own=True)


def _remote(name: str, form: str, url: str, *, own: bool, is_file: bool = False) -> Catalog:
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
    return Catalog(
        name or shown, form, shown, is_file=is_file, own=own, secret_url=url if url.rstrip("/") != shown else ""
    )


def parquet_parts(path: Path) -> list[Path]:
    """The STAC-GeoParquet files of a catalog, in order; none where it is of another kind.

    Of a folder, those in it, and those in its folders that are themselves called `….parquet`, as one collection often is.
    """
    if not path.is_dir():
        return [path] if path.suffix in PARQUET else []
    found = [p for p in path.iterdir() if p.suffix in PARQUET]
    found += [q for p in found if p.is_dir() for q in p.iterdir() if q.suffix in PARQUET]
    return sorted(p for p in found if p.is_file())


def _content(path: Path) -> str:
    """Digest of a file's content; of a folder's files, whose gigabytes are not read, of their names, sizes and footers.

    A Parquet footer holds the sizes, places and extremes of all its columns.
    """
    found = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    for part in parquet_parts(path):
        size = part.stat().st_size
        with part.open("rb") as file:
            file.seek(max(size - 8, 0))
            length = int.from_bytes(file.read(4), "little")
            file.seek(max(size - 8 - length, 0))
            found.update(f"{part.relative_to(path).as_posix()} {size} ".encode() + file.read())
    return found.hexdigest()


def pixels_parts(dataset: Dataset, catalog: Catalog) -> dict[str, Any]:
    """All that changes a cube made from a catalog, as plain JSON values."""
    forms = {name: catalog.form_of(spec) for name, spec in dataset.specs.items()}
    return dataset.pixels_parts(catalog.identity, forms)


def pixels_digest(dataset: Dataset, catalog: Catalog) -> str:
    """Digest of `pixels_parts`."""
    return digest(pixels_parts(dataset, catalog))


def missing_labels(dataset: Dataset, catalog: Catalog, collections: set[str]) -> list[str]:
    """The recipe's label sources that the catalog does not have.

    Args:
        dataset: the recipe.
        catalog: the catalog.
        collections: ids of the collections it answered to have.

    Raises:
        ConfigError: it lacks a source that is no label source.
    """
    labels = {dataset.recipe.labels.annual, dataset.recipe.labels.seasonal} - {None}
    missing = []
    for name, spec in dataset.specs.items():
        form = catalog.form_of(spec)
        if form is not None and form.collection in collections:
            continue
        if name in labels and not dataset.recipe.sources[name].required:
            missing.append(name)
            continue
        wanted = form.collection if form else "no form of it in stac_queries/"
        raise ConfigError(
            f"catalog {catalog.label}: has no {spec.title!r} (source {name!r}: {wanted}); forms exist for: "
            f"{', '.join(sorted(spec.catalogs))}. Choose another catalog, or take the source out of the recipe"
        )
    return missing
