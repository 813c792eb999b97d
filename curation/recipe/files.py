"""Where `stac_queries/` and `manifests/` lie, and what comes beside a recipe: the one place that finds them.

In a checkout (and an editable install) they stand at the top level beside the package; a wheel carries them inside it.
"""

import functools
import hashlib
from pathlib import Path

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.store import local

_PACKAGE = Path(__file__).parents[1]


def folder(name: str) -> Path:
    """The folder `stac_queries` or `manifests`.

    Raises:
        FileNotFoundError: the installation carries neither form of it.
    """
    in_wheel, in_checkout = _PACKAGE / "_data" / name, _PACKAGE.parent / name
    for path in (in_wheel, in_checkout):
        if path.is_dir():
            return path
    raise FileNotFoundError(
        f"{name}/: found neither {in_wheel} nor {in_checkout}; the installation is incomplete, reinstall curation"
    )


def sha256_of(path: Path) -> str:
    """Of a file's bytes, which may be many: it is read again only where it looks another."""
    stat = path.stat()
    return _sha256(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _sha256(path: Path, _mtime_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def beside(recipe: Path, file: str, where: str, most_bytes: int = local.MOST_BYTES) -> Path:
    """A file that a recipe names and that is executed one day: it lies in the recipe's folder, so that it comes with it.

    Args:
        recipe: the recipe.
        file: what it says.
        where: the key that says so, for errors.
        most_bytes: that it may have.

    Raises:
        ConfigError: it lies elsewhere, is not there, or is too large.
    """
    folder = recipe.parent.resolve()
    path = (folder / file).resolve()
    if not path.is_relative_to(folder):
        raise ConfigError(f"{where}: {path} lies outside the folder of the recipe: code lies beside it; copy it there")
    if not path.exists():
        raise ConfigError(f"{where}: no such file {path}")
    local.check(path, f"{where}: {path}", most_bytes)
    return path


def recipe_path(name_or_path: str) -> Path:
    """The file of a recipe: a name under `manifests/`, or a path to one, or to its folder.

    Raises:
        ConfigError: there is none.
    """
    path_or_name = Path(name_or_path)
    if path_or_name.suffix == ".toml" or path_or_name.is_dir():
        path = path_or_name / "recipe.toml" if path_or_name.is_dir() else path_or_name
        if not path.exists():
            raise ConfigError(f"--dataset {name_or_path}: no file {path}; write one with `curate init {name_or_path}`")
        return path
    if path_or_name.is_file():
        raise ConfigError(f"--dataset {name_or_path}: is no recipe, expected a file that ends in .toml, or its folder")
    path = folder("manifests") / name_or_path / "recipe.toml"
    if not path.is_file():
        known = sorted(p.parent.name for p in folder("manifests").glob("*/recipe.toml"))
        raise ConfigError(
            f"--dataset {name_or_path}: no such dataset; {did_you_mean(name_or_path, known)}known: "
            f"{', '.join(known)}; or give a path to a recipe.toml"
        )
    return path
