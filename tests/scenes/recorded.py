"""Every Sentinel-2 item of three providers that is recorded, as it was."""

from __future__ import annotations

import functools
import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

LEVEL_2 = ("sentinel-2-l2a", "sentinel-2-c1-l2a")
"""The collections of surface reflectance that are offered here."""

LEVEL_1 = ("sentinel-2-l1c",)
"""That of reflectance at the top of the atmosphere."""

HOSTS = {
    "sentinel2l2a01.blob.core.windows.net": "planetary-computer",
    "sentinel-cogs.s3.us-west-2.amazonaws.com": "earth-search",
    "e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com": "earth-search-c1",
    "sentinel-s2-l1c": "earth-search",
    "eodata": "cdse",
}
"""Whose files an href leads to."""


@dataclass(frozen=True)
class Recorded:
    """One item as it was recorded."""

    file: str
    provider: str
    """The form it is read in."""
    item: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.provider} {self.item['id']}"


def folder() -> Path | None:
    """The recorded data; None where there is none."""
    default = Path(__file__).parents[3] / "shared"
    found = Path(os.environ.get("CURATION_SHARED", default)) / "data"
    return found if found.is_dir() else None


def _bodies(path: Path) -> Iterator[Any]:
    """The JSON values of a file: itself, or the answers of a recording."""
    if path.suffix == ".json":
        yield json.loads(path.read_text())
        return
    for each in yaml.load(path.read_text(), Loader=yaml.CSafeLoader).get("interactions", ()):
        body = each["response"]["body"].get("string") or b""
        body = body.encode() if isinstance(body, str) else body
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        if body.lstrip()[:1] in (b"{", b"["):
            yield json.loads(body)


def _items(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") == "Feature" and isinstance(value.get("assets"), dict):
            yield value
        for inner in value.values():
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)


def _provider(item: dict[str, Any]) -> str:
    """Whose files it leads to; of hrefs beside the item (a folder of scenes of one's own) Planetary Computer's form."""
    hrefs = [a.get("href", "") for a in item["assets"].values()]
    if not any("://" in h for h in hrefs):
        return "planetary-computer"
    found = {HOSTS[host] for h in hrefs if (host := h.split("://")[-1].split("/")[0]) in HOSTS}
    (provider,) = found  # an item of a provider that is new here is to be told, not left out
    return provider


def sentinel_2(collections: tuple[str, ...] = LEVEL_2) -> tuple[Recorded, ...]:
    """Each item of some collections once, of those of surface reflectance or at the top; in order of provider and id."""
    return tuple(one for one in _both_levels() if one.item["collection"] in collections)


@functools.cache  # all files are read for it
def _both_levels() -> tuple[Recorded, ...]:
    found: dict[tuple[str, str], Recorded] = {}
    root = folder()
    for path in sorted(root.rglob("*")) if root else ():
        if path.suffix not in (".json", ".yaml") or not path.is_file():
            continue
        text = path.read_bytes()
        if (
            not any(name.encode() in text for name in LEVEL_2 + LEVEL_1) and b"H4sI" not in text
        ):  # gzip, as YAML has bytes
            continue
        for value in _bodies(path):
            for item in _items(value):
                if item.get("collection") in LEVEL_2 + LEVEL_1:
                    one = Recorded(str(path.relative_to(root)), _provider(item), item)  # type: ignore[arg-type]
                    found.setdefault((one.provider, item["id"]), one)
    return tuple(found[key] for key in sorted(found))


def every(of: tuple[Recorded, ...]) -> list[Any]:
    """Parameters of a test: each item, or one that is skipped loudly where nothing is recorded."""
    if of:
        return [pytest.param(one, id=str(one)) for one in of]
    return [
        pytest.param(None, id="nothing recorded", marks=pytest.mark.skip(reason="no recorded items: CURATION_SHARED"))
    ]
