"""A dataset without Dynamic World, and label files made of what one with it came to."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from curation.cli import main
from curation.scenes import acquisition
from tests.run import Curate

CODES = {
    "water": 0, "trees": 1, "grass": 2, "flooded_vegetation": 3, "crops": 4, "shrub_and_scrub": 5, "built": 6, "bare": 7,
    "snow_and_ice": 8,
}  # fmt: skip


def without_maps(built: Curate, folder: Path) -> Curate:
    """The same world in a catalog that has no Dynamic World."""
    afar = built.world.from_afar(folder / "afar")
    items = json.loads(afar.catalog.read_text())
    items["features"] = [f for f in items["features"] if f["collection"] != "dynamicworld"]
    afar.catalog.write_text(json.dumps(items))
    return Curate(afar, folder / "root")


def metas(shards: Path) -> dict[str, dict[str, Any]]:
    """Key → `meta.json` of every sample of a dataset's shards, or of one of them."""
    out = {}
    for path in [shards] if shards.is_file() else sorted(shards.rglob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".meta.json"):
                    out[member.name.partition(".")[0]] = json.loads(tar.extractfile(member).read())
    return out


def vectors(shards: Path) -> dict[tuple[str, str], list[int] | None]:
    """(Key, season) → its labels by season; None where unknown."""
    return {
        (key, season): (entry["labels"] or {}).get("multi_hot")
        for key, meta in metas(shards).items()
        for season, entry in meta["seasons"].items()
    }


def label_file(shards: Path) -> dict[str, dict[str, list[str]]]:
    """What SSL4EO-S12-ML would publish of these shards: ids of Earth Engine, codes as text, nothing where unknown."""
    names = json.loads((shards / "index.json").read_text())["label_names"]
    out: dict[str, dict[str, list[str]]] = {}
    for key, meta in metas(shards).items():
        for entry in meta["seasons"].values():
            image = acquisition.of_id(entry["sources"]["s2l2a"]["scenes"][0])
            name = f"{image.start:%Y%m%dT%H%M%S}_{image.start:%Y%m%d}T235959_T{image.tile}"
            hot = (entry["labels"] or {}).get("multi_hot") or [0] * len(names)
            out.setdefault(key, {})[name] = [str(CODES[n]) for n, h in zip(names, hot, strict=True) if h]
    return out


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def labels(curate: Curate, action: str, *rest: str) -> int:
    """`curate labels import FILE`, or `remove`: its exit code."""
    where = ["--dataset", str(curate.world.recipe), "--root", str(curate.root)]
    return main.main(["labels", action, *where, *rest])


def again(curate: Curate, root: Path) -> Curate:
    return replace(curate, root=root)
