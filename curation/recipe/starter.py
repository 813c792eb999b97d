"""A commented recipe to start from: `curate init`."""

from __future__ import annotations

import re
from pathlib import Path

from curation.errors import ConfigError
from curation.recipe import files
from curation.store import full


def write(folder: Path) -> Path:
    """Writes `folder/recipe.toml` and gives its path; the folder's name becomes the dataset's.

    Raises:
        ConfigError: there is one already, or the name is none that a dataset may have.
        StorageError: it cannot be written.
    """
    name = folder.resolve().name
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise ConfigError(f"{folder}: a dataset's name has a-z, 0-9 and '-' only, got {name!r}; choose another folder")
    path = folder / "recipe.toml"
    if path.exists():
        raise ConfigError(f"{path}: is there already; choose another folder, or delete it")
    template = (files.folder("manifests") / "starter" / "recipe.toml").read_text(encoding="utf-8")
    with full.needed(path, "then run it again"):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(template.replace('name = "starter"', f'name = "{name}"'), encoding="utf-8")
    return path
