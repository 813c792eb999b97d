"""Sources looked at by themselves, before a recipe uses them: `curate source check`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from curation import pipeline
from curation.api import earth
from curation.api.results import CheckResult
from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.recipe import catalogs, sourcefiles
from curation.recipe.catalogs import EARTHS, Catalog
from curation.recipe.sources import SourceSpec
from curation.work import telling


@telling.shown()
def check_source(file: str | Path, catalog: str | None = None, *, check: bool = True) -> CheckResult:
    """What a source's file says, held against one item of a catalog and one patch in its middle. Writes nothing.

    Args:
        file: path of a source's TOML, or the name of one of `stac_queries/`.
        catalog: who is asked for an item, as `--catalog` has it; where left out the folder of its own files, told from the
            folder above the file's, or else the first that the file names a form of.
        check: raise where something is wrong, rather than return it.

    Raises:
        ConfigError: the file states no source; or there is no such catalog, or it does not answer.
        CurationError: something is wrong; its `result` says what.
    """
    path = _path(str(file))
    spec = sourcefiles.read(path)
    with _served(spec, _named(spec, path) if catalog is None else catalog) as asked:
        result = CheckResult(*map(tuple, pipeline.check_source(spec, str(path), asked)))
    if check:
        result.raise_for_error()
    return result


def _path(text: str) -> Path:
    known = sourcefiles.shipped()
    if text in known:
        return known[text]
    if not text.endswith(".toml"):
        hint = did_you_mean(text, sorted(known))
        raise ConfigError(
            f"source {text!r}: no such source; {hint}known: {', '.join(known)}; or give the path of a file, <source>.toml"
        )
    return Path(text)


def _named(spec: SourceSpec, path: Path) -> str:
    """The catalog that is asked where nobody says which."""
    form = spec.catalogs[catalogs.FOLDER].file if catalogs.FOLDER in spec.catalogs else None
    if form is not None and form.folder:
        return str(path.parent.parent / form.folder)  # told from the recipe, beside which `sources/` lies
    known = catalogs.table()
    named = [name for name in known if name in spec.catalogs and known[name].url is not None]
    if not named:
        raise ConfigError(f"{path}: names no public catalog in [catalogs]: say which one is asked (--catalog C)")
    return named[0]


@contextlib.contextmanager
def _served(spec: SourceSpec, text: str) -> Iterator[Catalog]:
    """The catalog; the embedded Earth is served meanwhile."""
    if text not in EARTHS:
        is_its_own = spec.kind.holds_shapes and Path(text).is_dir()
        yield catalogs.of_files(spec, text) if is_its_own else catalogs.resolve(text)
        return
    with earth.served(text) as url:
        yield catalogs.resolve(text, url)
