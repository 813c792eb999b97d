"""Digests of what a result depends on, and what changed between two. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from curation.errors.printable import printable


def changes(old: Any, new: Any) -> list[str]:
    """What differs between two values of `pixels_parts` or `places_parts`, a key each: `quality.min_clear was 0.9, is 0.8`.

    How another catalog offers a source is left out where the catalog itself is another: that one key says it all. Levels are
    told one by one, `roots.quality.min_clear`.
    """
    levels = [k for k, v in new.items() if isinstance(v, dict) and "catalog" in v and isinstance(old.get(k), dict)]
    if levels and set(levels) == {*old, *new}:
        return [f"{k}.{line}" for k in levels for line in changes(old[k], new[k])]
    if isinstance(old.get("catalog"), dict) or isinstance(new.get("catalog"), dict):
        old, new = _by_source(old), _by_source(new)
    before, after = _flat(old), _flat(new)
    names = [k for k in dict.fromkeys([*before, *after]) if before.get(k, _NONE) != after.get(k, _NONE)]
    if "catalog" in names:
        names = [n for n in names if " form" not in n]
    for source in [n.removeprefix("catalog.") for n in names if n.startswith("catalog.")]:
        names = [n for n in names if not n.startswith(f"sources.{source} form")]
    return [f"{n} was {_brief(before.get(n, _NONE))}, is {_brief(after.get(n, _NONE))}" for n in names]


def _by_source(parts: Any) -> Any:
    """`pixels_parts` with its catalogs by source, also where one is asked for all."""
    asked = parts.get("catalog")
    return parts if isinstance(asked, dict) else parts | {"catalog": dict.fromkeys(parts.get("sources", ()), asked)}


def asked(parts: Any) -> dict[str, str]:
    """Source → identity of the catalog that was asked for it, of `pixels_parts`, those of levels among them. Pure."""
    if "catalog" not in parts:
        return {name: its for level in parts.values() for name, its in asked(level).items()}
    return dict(_by_source(parts)["catalog"])


def of_cube(parts: Any, season: str, sources: Mapping[str, bool], judges: Collection[str]) -> dict[str, Any]:
    """What of `pixels_parts` (of a level) the pixels of one season's cube follow from.

    Other seasons, and sources that are not in it, may be others.

    Args:
        parts: as a recipe says them, or a cube that it was built by.
        season: the cube's; of `static` no window counts.
        sources: those of the cube → whether they keep to one orbit direction, which follows from several seasons.
        judges: sources of heights that these are judged by.
    """
    asked = _by_source(parts)["catalog"]
    looked = {season}
    known: dict[str, Any] = {}
    for name in dict.fromkeys([*sources, *judges]):
        if name not in parts["sources"]:
            continue
        use, *rest = parts["sources"][name]
        known[name] = [{k: v for k, v in use.items() if k not in ("seasons", "direction_from")}, *rest]
        if sources.get(name):
            looked |= set(use.get("direction_from") or parts["seasons"])
    return {
        **{k: parts[k] for k in ("grid", "quality", "cube")},
        "catalog": {name: asked.get(name) for name in known},
        "seasons": {k: v for k, v in parts["seasons"].items() if k in looked},
        "sources": known,
    }


_NONE = object()
_PARTS_OF_SOURCE = ("", " (stac_queries)", " form")


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Dotted key → value, for tables within tables."""
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, inner in value.items():
            out |= _flat(inner, f"{path}.{key}" if path else key)
        return out
    if path.startswith("sources.") and path.count(".") == 1 and isinstance(value, list):
        return {
            k: v
            for part, inner in zip(_PARTS_OF_SOURCE, value, strict=False)
            for k, v in _flat(inner, path + part).items()
        }
    return {path: value}


def _brief(value: Any) -> str:
    if value is _NONE:
        return "not there"
    text = printable(json.dumps(value))
    return text if len(text) <= 60 else f"{text[:59]}…"


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
