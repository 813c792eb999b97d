"""Licences by name, as `stac_queries/licences.toml` lists them: what `terms` of a source names, and of tables of ours."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from pydantic import RootModel

from curation.errors.words import did_you_mean
from curation.recipe import files
from curation.recipe.strict import StrictTable
from curation.recipe.toml import read_toml


class LicenceSpec(StrictTable):
    """A licence, or the terms that stand for one."""

    title: str
    url: str
    """Its text."""
    spdx: str | None = None
    """What SPDX calls it, where it does."""
    of: str = ""
    """Of terms of one table alone, which comes along: what that is; empty of all others."""
    attribution: str = ""
    """Likewise the line that names whom it wants named."""
    about: str = ""
    """Likewise where it is from: a URL."""


class LicenceTable(RootModel[dict[str, LicenceSpec]]):
    """The file."""


def licences() -> Mapping[str, LicenceSpec]:
    """Name → licence.

    Raises:
        ConfigError: the file is no such list.
    """
    path = files.folder("stac_queries") / "licences.toml"
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, _mtime_ns: int) -> Mapping[str, LicenceSpec]:
    return read_toml(path, LicenceTable).root


def checked(name: str) -> str:
    """The name of a licence, as a source's file says it. Raises ValueError where there is none of that name."""
    known = licences()
    if name not in known:
        raise ValueError(
            f"no licence of stac_queries/licences.toml is called so; {did_you_mean(name, sorted(known))}known: "
            f"{', '.join(known)}; add it there, or leave `terms` out: `licence` says it in words"
        )
    return name
