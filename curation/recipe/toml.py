"""TOML files read as models, with errors that name the file, the key and what was meant."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    Discriminator,
    Tag,
    ValidationError,
)

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.store import local

T = TypeVar("T", bound=BaseModel)


def read_toml(path: Path, kind: type[T]) -> T:
    """The file read as `kind`; an error names file, key, value and what is allowed.

    Raises:
        ConfigError: the file is not TOML, or has an unknown key or an impossible value.
    """
    try:
        return kind.model_validate(tables_of(path))
    except ValidationError as err:
        raise ConfigError("; ".join(_say(path, kind, e) for e in _misspelt_once(kind, err.errors()))) from err


def tables_of(path: Path) -> dict[str, Any]:
    """What a TOML file says, as it stands there.

    Raises:
        ConfigError: it is no file that can be read whole, not UTF-8, or not TOML.
    """
    local.check(path, str(path))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path}: not UTF-8 at byte {err.start}, expected a TOML file: write it in UTF-8") from err
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{path}: not TOML: {err}") from err


def _misspelt_once(kind: type[BaseModel], errors: Sequence[Any]) -> list[Any]:
    """The errors without keys that are missing only because they stand there misspelt, which is told of the other."""
    meant = set()
    for error in errors:
        *table, key = [str(p) for p in error["loc"]] or [""]
        if error["type"] == "extra_forbidden":
            meant |= {(*table, m) for m in difflib.get_close_matches(key, _fields(kind, table), n=1)}
    return [e for e in errors if e["type"] != "missing" or tuple(map(str, e["loc"])) not in meant]


def _say(path: Path, kind: type[BaseModel], error: Any) -> str:
    *inner, key = [str(p) for p in error["loc"]] or [""]
    known, table = _fields(kind, inner), _walked(kind, inner)[1]
    if key and _walked(kind, [*inner, key])[1] == table:  # it is the tag of a table as a whole
        *table, key = table
    if isinstance(error["input"], dict) and key and error["type"] not in ("extra_forbidden", "missing"):
        table, key = [*table, key], ""  # what is wrong is a table as a whole
    named = f"[{'.'.join(table)}] {key}".strip() if table else key
    where = f"{path}: {named}" if named else str(path)
    if error["type"] == "extra_forbidden":
        is_table = isinstance(error["input"], dict)
        if is_table:
            where = f"{path}: [{'.'.join([*table, key])}]"
        what = "section" if is_table else "key"
        hint = did_you_mean(key, known)
        if not is_table and inner and key in kind.model_fields:
            hint = f"write it above the first [section] of the file, since all that follows one is of it; {hint}"
        return f"{where}: no such {what}; {hint}known keys: {', '.join(known) or 'none'}"
    if error["type"] == "missing":
        return f"{where}: missing; add it"
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(error["input"], dict) else f" = {error['input']!r}"
    return f"{where}{shown}: {message}"


def _fields(kind: type[BaseModel], table: list[str]) -> list[str]:
    """Known keys of the table at a path of keys below `kind`."""
    model = _walked(kind, table)[0]
    return sorted(model.model_fields) if model is not None else []


def _walked(kind: type[BaseModel], path: list[str]) -> tuple[type[BaseModel] | None, list[str]]:
    """The model at a path that pydantic tells, and that path as the file has it.

    Where one of several models is meant pydantic adds by which tag it was taken.
    """
    model: Any = kind
    keys: list[str] = []
    for key in path:
        if tagged := _tagged(model):
            model = tagged.get(key)
            continue
        keys.append(key)
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(key)
            model = field.annotation if field else None
        else:  # dict[str, Model] or list[Model]: step over the key
            inner = [a if _tagged(a) else _bare(a) for a in get_args(model)[::-1]]
            model = next((a for a in inner if isinstance(a, type) or _tagged(a)), None)
        if isinstance(model, UnionType):  # of a table that may be left out
            model = next((a for a in get_args(model) if isinstance(a, type) and issubclass(a, BaseModel)), None)
    return (model if isinstance(model, type) and issubclass(model, BaseModel) else None), keys


def _bare(model: Any) -> Any:
    """A type without what is annotated beside it."""
    return get_args(model)[0] if get_origin(model) is Annotated else model


def _tagged(model: Any) -> dict[str, Any]:
    """Tag → model, of one of several whose tag no key of theirs states; empty of all else."""
    if get_origin(model) is not Annotated or not any(isinstance(m, Discriminator) for m in model.__metadata__):
        return {}
    members = [get_args(m) for m in get_args(get_args(model)[0])]
    return {of.tag: member for member, *about in members for of in about if isinstance(of, Tag)}
