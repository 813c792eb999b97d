"""Tables of which one key is the name of a file: picks and kinds of sources, rules of the split, and forms of chips."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from curation.errors.words import did_you_mean
from curation.recipe.strict import StrictTable

PICKS, KINDS, SPLITS = "curation.build.picks", "curation.build.kinds", "curation.pack.splits"
FORMS = "curation.read.forms"
"""Where the files are that tags name; each has a class of the tag's name, `SameAcquisition` of `same-acquisition`."""


def tagged(value: Any, folder: str, key: str = "name") -> Any:
    """The model of a table, or of a tag alone, by the file that the tag names; any other value as it is.

    Args:
        value: what the file of a recipe or a source says.
        folder: where files of such models are: one of those above.
        key: the table's key that holds the tag.

    Raises:
        ValueError: there is no such file, or the table has other keys than it says.
    """
    table = {key: value} if isinstance(value, str) else value
    if not isinstance(table, dict):
        return value
    known = sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(importlib.import_module(folder).__path__))
    name = table.get(key)
    if name not in known:
        hint = did_you_mean(str(name), known)
        raise ValueError(f"no such {key} {name!r}; {hint}known: {', '.join(known)}")
    # The one import that leads up: such a file does all that depends on its tag, and needs what that needs.
    module = importlib.import_module(f"{folder}.{name.replace('-', '_')}")
    model: type[StrictTable] = getattr(module, name.title().replace("-", ""))
    if other := sorted(set(table) - set(model.model_fields)):
        hint = did_you_mean(other[0], model.model_fields)
        raise ValueError(f"{name!r} has no key {other[0]!r}; {hint}known keys: {', '.join(sorted(model.model_fields))}")
    return model.model_validate(table)
