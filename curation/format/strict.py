"""JSON read strictly, with errors that say where it is wrong. Pure."""

from __future__ import annotations

import json
import re
import reprlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from msgspec import Meta, Struct, ValidationError, convert

from curation.errors import DamageError

_MOST = 1 << 53
"""Above every number of bytes or samples: what JSON readers that count in doubles still tell apart."""

_DEEPEST = 32
"""Levels of what is free form in the index."""

NAME = re.compile(r"[a-z0-9_-]{1,100}")
"""Of an array or a season, part of a member's suffix, and of a source."""

_CONTROLS = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""What no name has, and no file system and no terminal takes."""

K = TypeVar("K")
S = TypeVar("S", bound=Struct)


def _refused(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")


_JSON = json.JSONDecoder(parse_constant=_refused)


def json_of(data: bytes) -> Any:
    """The value of UTF-8 JSON. Raises ValueError where it is none, has NaN or Infinity, or is too deep to be read."""
    try:
        return _JSON.decode(data.decode())
    except RecursionError as err:
        raise ValueError("nested too deeply") from err


_MOST_FLOAT = sys.float_info.max

Text = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z")]
Name = Annotated[str, Meta(pattern=rf"^{NAME.pattern}\Z")]
BandName = Annotated[str, Meta(pattern=r"^[a-z0-9_-]+(\.[a-z0-9_-]+)+\Z", max_length=100)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, lt=_MOST)]
Side = Annotated[int, Meta(gt=0, lt=_MOST)]
Number = Annotated[float, Meta(ge=-_MOST_FLOAT, le=_MOST_FLOAT)]
if TYPE_CHECKING:
    Nodata = float  # what it is as soon as it is read
else:
    Nodata = Number | Literal["nan"]


_WORDS = {
    Text: "a text without control characters",
    Name: "a name of a-z, 0-9, '_' and '-'",
    BandName: "a name such as s2.b04",
    Sha256: "64 hexadecimal digits",
}
"""What is told in place of a pattern."""


class StrictObject(Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object read strictly: each key must be there, and none may be left over.

    What `__post_init__` refuses by ValueError is told with its place, too, when it is read.
    """


def read(kind: type[K], value: Any, where: str) -> K:
    """A JSON value as what it should be. Raises DamageError naming the key that is wrong."""
    try:
        return convert(value, kind)
    except ValidationError as err:
        raise DamageError(f"{where}{_fault(str(err), value)}; pack the dataset again") from err
    except UnicodeEncodeError as err:
        raise DamageError(f"{where}: got {reprlib.repr(err.object)}, expected UTF-8; pack the dataset again") from err


def each(kind: type[S], value: Any, where: str, maybe: Mapping[str, Any] | None = None) -> dict[str, S]:
    """A JSON object's values, each of a kind, by name; of keys that may be left out `maybe` says what that means."""
    out = {}
    for name, of in read(dict[Text, Any], value, where).items():
        if isinstance(of, dict):
            of = {**(maybe or {}), **of}
            check_keys(of, kind.__struct_fields__, f"{where}.{name}")
        out[name] = read(kind, of, f"{where}.{name}")
    return out


def check_keys(value: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    """Passes where an object has these keys, those with a default too, and no other."""
    if lacks := [key for key in keys if key not in value]:
        raise DamageError(f"{where}: no key {lacks[0]!r}; the index is not whole: pack the dataset again")
    if more := sorted(set(value) - set(keys)):
        raise DamageError(
            f"{where}: unknown keys {reprlib.repr(more)}; this version of the format does not have them: pack the "
            "dataset again, or read it with the software that wrote it"
        )


def _fault(said: str, value: Any) -> str:
    """Where in a value a ValidationError is, what stands there, and what should: `.shards[0].size: got -1, expected …`."""
    text, _, at = said.rpartition(" - at `") if " - at `" in said else (said, "", "$`")
    path = at.rpartition("$")[2].rstrip("`")
    for name, number in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path):
        value = value[name] if name else value[int(number)]
    for kind, words in _WORDS.items():
        text = text.replace(f"`str` matching regex {get_args(kind)[1].pattern!r}", words)
    if text.startswith(("Expected", "Invalid")):
        text = f"got {reprlib.repr(value)}, {text[:1].lower()}{text[1:]}"
    return f"{path}: {_CONTROLS.sub('?', text)[:400]}"


def check_depth(value: dict[str, Any], where: str) -> None:
    """Passes where what is free form is no deeper than who reads it can follow."""
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        level = [v for of in level for v in (of.values() if isinstance(of, dict) else of)]
        level = [v for v in level if isinstance(v, dict | list)]
    if level:
        raise DamageError(f"{where}: more than {_DEEPEST} levels deep; pack the dataset again")
