"""What a sample carries beside pixels: text, JSON, numbers and vectors, as members of a tar, and back. Pure.

Each is a plain file that any reader opens: `<name>.txt`, `<name>.json`, or `<name>.npy` of vectors.
"""

from __future__ import annotations

import json
import math
import reprlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.errors import DamageError
from curation.format import payload
from curation.format.bands import BandEntry
from curation.format.names import Encoding
from curation.format.strict import Side, StrictObject, Text, check_depth, json_of

Kind = Literal["text", "json", "numbers", "vectors"]

ENCODING: dict[Kind, Encoding] = {"text": "txt", "json": "json", "numbers": "json", "vectors": "npy"}
"""What members of each kind are called."""

MOST_TEXT_BYTES = 1 << 20
"""Of one text or JSON value: a caption is a line, and what is as large as pixels is vectors."""


class AnnotationEntry(StrictObject, frozen=True):
    """One annotation: what a member of that name holds, of each sample that has it."""

    title: Text
    """For a person."""
    kind: Kind
    """`text` and `json` are what they say; `numbers` are float64, null where unknown; `vectors` float32, all finite."""
    shape: tuple[Side, ...]
    """Of numbers and vectors; () is one number, and what text and JSON have."""
    ragged: bool = False
    """Of vectors: whether a sample has 1 to `shape[0]` along the first axis, and not always so many."""
    names: tuple[Text, ...] | None = None
    """What each number along the last axis is of, in order; the key is left out where nobody says."""
    canonical: tuple[BandEntry | None, ...] | None = None
    """Which band of the one vocabulary each of these is, null of one that is none; the key is left out where none is."""

    def __post_init__(self) -> None:
        """Raises ValueError where there is no such annotation."""
        if self.kind in ("text", "json") and self.shape:
            raise ValueError(f"shape: got {reprlib.repr(list(self.shape))}, expected [] of {self.kind}")
        if self.kind == "vectors" and len(self.shape) < 1 + self.ragged:
            raise ValueError(
                f"shape: got {reprlib.repr(list(self.shape))}, expected [numbers], or [vectors, numbers], which ragged wants"
            )
        if self.ragged and self.kind != "vectors":
            raise ValueError(f"ragged: got true, expected false of {self.kind}: vectors alone are")
        bands = None if self.canonical is None else [None if b is None else b.name for b in self.canonical]
        for key, its in (("names", self.names), ("canonical", bands)):
            if its is None:
                continue
            if not self.shape or len(its) != self.shape[-1]:
                raise ValueError(
                    f"{key}: got {len(its)} of them, expected one for each number along the last axis of "
                    f"{reprlib.repr(list(self.shape))}"
                )
            if len({*its} - {None}) != sum(n is not None for n in its):
                raise ValueError(f"{key}: got {reprlib.repr(list(its))}, expected each once")
        if self.room > payload.MOST_BYTES:
            raise ValueError(
                f"shape: got {reprlib.repr(list(self.shape))}, expected at most {payload.MOST_BYTES} bytes"
            )

    @property
    def is_text(self) -> bool:
        """Whether it is a text."""
        return self.kind == "text"

    @property
    def is_words(self) -> bool:
        """Whether it may hold texts: it is one, or JSON."""
        return self.kind in ("text", "json")

    @property
    def encoding(self) -> Encoding:
        """What its members' names end in."""
        return ENCODING[self.kind]

    @property
    def room(self) -> int:
        """Bytes that one takes in a batch; 0 of text and JSON, which take what they take."""
        return math.prod(self.shape) * {"numbers": 8, "vectors": 4}.get(self.kind, 0)


class ColumnEntry(StrictObject, frozen=True):
    """One domain column: a value that each sample has in the samples table and in its `meta.json`."""

    title: Text
    """For a person."""
    kind: Literal["text", "number"]
    """Null, in either, is *unknown*."""


def json_bytes(value: Any) -> bytes:
    """JSON as members hold it: UTF-8, keys sorted, compact, one newline at the end. Raises ValueError for a NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def encoded(entry: AnnotationEntry, value: Any) -> bytes:
    """The member of a value.

    Args:
        entry: what it should be.
        value: a text; what JSON can hold; numbers or vectors as an array or nested lists, None or NaN for an unknown number.

    Raises:
        ValueError: it is not that; what was got and what was expected is told.
    """
    if entry.kind == "text":
        if not isinstance(value, str) or not value:
            raise ValueError(f"got {_shown(value)}, expected a text that is not empty")
        return _bounded(value.encode())  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    if entry.kind == "json":
        try:
            data = json_bytes(value)
        except (TypeError, RecursionError) as err:
            raise ValueError(f"got {_shown(value)}, expected what JSON can hold: {err}") from err
        return _bounded(json_bytes(_plain(data)))
    found = _numbers(value)
    if entry.kind == "numbers":
        if found.shape != entry.shape:
            raise ValueError(f"got numbers of shape {found.shape}, expected {entry.shape}")
        if np.isinf(found).any():
            raise ValueError("got an infinite number, expected finite ones, or None")
        return json_bytes(_with_null(found.tolist()))
    _check_vectors(entry, found.shape)
    with np.errstate(over="ignore"):
        vectors = found.astype(np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("got vectors with NaN, infinity, or numbers beyond float32: expected finite ones")
    return payload.encode(vectors, "none")


def decoded(entry: AnnotationEntry, data: Any, where: str) -> Any:
    """The value of a member: a str, a JSON value, numbers (float64, of its shape) or vectors (float32; ragged as many).

    Args:
        entry: what it is.
        data: the payload.
        where: how a person names it, for errors.

    Raises:
        DamageError: it is no such member.
    """
    if entry.kind == "vectors":
        array = payload.opened(memoryview(data), where)
        try:
            _check_vectors(entry, array.shape)
        except ValueError as err:
            raise DamageError(f"{where}: {err}: pack it again") from err
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise DamageError(f"{where}: {array.dtype}, or not finite; expected finite float32: pack it again")
        return array
    try:
        if entry.kind == "text":
            return bytes(data).decode()
        value = _plain(bytes(data))
        return value if entry.kind == "json" else _numbers(value, entry.shape)
    except ValueError as err:
        raise DamageError(f"{where}: no {entry.kind} as the index says ({err}): pack it again") from err


def _bounded(data: bytes) -> bytes:
    if len(data) > MOST_TEXT_BYTES:
        raise ValueError(f"got {len(data)} bytes, expected at most {MOST_TEXT_BYTES}")
    return data


def _shown(value: Any) -> str:
    return f"{reprlib.repr(value)} ({type(value).__name__})"


def _plain(data: bytes) -> Any:
    """The value of JSON that is no deeper than who reads it can follow. Raises ValueError."""
    value = json_of(_bounded(data))
    try:
        check_depth({"": value}, "JSON")
    except DamageError as err:
        raise ValueError(str(err)) from err
    return value


def _numbers(value: Any, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Numbers as float64, NaN where they are unknown. Raises ValueError where some are none, or of another shape."""
    found = np.asarray(value)
    known = found.dtype.kind in "iuf"
    if not known and found.dtype == object:
        known = all(n is None or type(n) in (int, float) or isinstance(n, np.integer | np.floating) for n in found.flat)
    if not known:  # a text of digits is no number, and neither is a bool
        raise ValueError(f"got {_shown(value)}, expected numbers")
    out = found.astype(np.float64)
    if shape is not None and out.shape != shape:
        raise ValueError(f"numbers of shape {out.shape}, the index says {shape}")
    return out


def _with_null(value: Any) -> Any:
    """Nested lists with None for NaN."""
    if isinstance(value, list):
        return [_with_null(v) for v in value]
    return None if math.isnan(value) else value


def _check_vectors(entry: AnnotationEntry, shape: tuple[int, ...]) -> None:
    most = entry.shape[0]
    fits = shape == entry.shape or (
        entry.ragged and len(shape) == len(entry.shape) and 1 <= shape[0] <= most and shape[1:] == entry.shape[1:]
    )
    if not fits:
        said = f"1 to {most} along the first axis of {entry.shape}" if entry.ragged else entry.shape
        raise ValueError(f"got vectors of shape {shape}, expected {said}")
