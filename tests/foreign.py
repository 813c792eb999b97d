"""Recipes for `curate import`, as tests write them: of sets of GEO-Bench-2 and BigEarthNet as they are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curation.cli import main

S2 = ["b01", "b02", "b03", "b04", "b05", "b06", "b07", "b08", "b8a", "b09", "b11", "b12"]
TREES_S2 = ["b02", "b03", "b04", "b08", "b05", "b06", "b07", "b8a", "b11", "b12", "b01", "b09"]
REFLECTANCE = {"dtype": "uint16", "nodata": 0, "unit": "reflectance × 10000"}
DB = {"dtype": "float32", "nodata": -32768, "unit": "sigma0, dB"}
ABOUT = {"title": "Chips", "licence": "CC-BY-4.0", "form": "tiff"}

TREES = ["Alnus", "Cleared", "Fagus", "Fraxinus", "Larix", "Picea", "Pinus", "Pseudotsuga"]

TREESATAI: dict[str, Any] = {
    "dataset": {"name": "treesatai", "title": "TreeSatAI", "footprint_m": 60.8},
    "place": {"of": "aerial"},
    "table": {"file": "samples.json", "id": "tortilla:id", "columns": ["year"]},
    "split": {"column": "tortilla:data_split", "train": ["train"], "val": ["validation"], "leave_out": ["test"]},
    "labels": {"names": "species_labels", "shares": "dist_labels", "classes": TREES},
    "bands": {name: {} for name in ("aerial.red", "aerial.green", "aerial.blue", "aerial.nir", "s1.ratio")},
    "sources": {
        "aerial": ABOUT
        | {
            "files": r"(?P<id>sample_\d+)_aerial\.tif$",
            "arrays": [
                {
                    "res_m": 0.2,
                    "bands": ["aerial.nir", "aerial.green", "aerial.blue", "aerial.red"],
                    "dtype": "int16",
                    "nodata": -1,
                    "unit": "digital number",
                    "range": [0, 255],
                }
            ],
        },
        "s2": ABOUT
        | {
            "files": r"(?P<id>sample_\d+)_s2\.tif$",
            "arrays": [{"res_m": 0.2, "bands": [f"s2.{b}" for b in TREES_S2], **REFLECTANCE}],
        },
        "s1": ABOUT
        | {
            "files": r"(?P<id>sample_\d+)_s1\.tif$",
            "arrays": [
                {
                    "res_m": 0.2,
                    "bands": ["s1.vv", "s1.vh", "s1.ratio"],
                    "unit": "sigma0, dB",
                    "dtype": "int16",
                    "nodata": -32768,
                }
            ],
        },
    },
}
"""Of one published unit test: radar and reflectance resized to the aerial image's pixels, with transforms of before."""

TREESATAI_MENDS = {"s2": {"pixel_m": 0.2, "within_m": 15}, "s1": {"pixel_m": 0.2, "within_m": 15, "bits": "int16"}}

BENV2: dict[str, Any] = {
    "dataset": {"name": "benv2", "title": "BigEarthNet v2", "footprint_m": 1200},
    "place": {"of": "s1"},
    "table": {"file": "samples.json", "id": "tortilla:id", "columns": ["country"]},
    "split": {"column": "tortilla:data_split", "train": ["train"], "val": ["validation"], "leave_out": ["test"]},
    "sources": {
        "s1": ABOUT
        | {"files": r"(?P<id>sample_\d+)_s1\.tif$", "arrays": [{"res_m": 10, "bands": ["s1.vh", "s1.vv"], **DB}]},
        "s2": ABOUT
        | {
            "files": r"(?P<id>sample_\d+)_s2\.tif$",
            "arrays": [{"res_m": 10, "bands": [f"s2.{b}" for b in S2], **REFLECTANCE}],
        },
    },
}
"""Likewise: all bands of Sentinel-2 stacked at 10 m, with the transform of a band of 60 m; VH before VV."""

BENV2_MENDS = {"s2": {"pixel_m": 10}}


def mended(recipe: dict[str, Any], mends: dict[str, Any]) -> dict[str, Any]:
    """The recipe with these mends of its sources."""
    return recipe | {
        "sources": {n: s | ({"mend": mends[n]} if n in mends else {}) for n, s in recipe["sources"].items()}
    }


def text(value: Any, path: tuple[str, ...] = ()) -> str:
    """TOML of a table of tables."""
    flat = {k: v for k, v in value.items() if not isinstance(v, dict)}
    lines = [f"[{'.'.join(map(_quoted, path))}]"] if path and flat else []
    lines += [f"{_quoted(k)} = {_inline(v)}" for k, v in flat.items()]
    inner = [text(v, (*path, k)) for k, v in value.items() if isinstance(v, dict) and v]
    empty = [f"{'.'.join(map(_quoted, (k,)))} = {{}}" for k, v in value.items() if isinstance(v, dict) and not v]
    if empty:
        lines = lines or [f"[{'.'.join(map(_quoted, path))}]"]
    return "\n".join([*lines, *empty, *inner])


def _quoted(key: str) -> str:
    return json.dumps(key)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_quoted(k)} = {_inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def write(folder: Path, recipe: dict[str, Any]) -> Path:
    """The recipe's file."""
    path = folder / f"{recipe['dataset']['name']}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(recipe), encoding="utf-8")
    return path


def curate_import(source: Path, recipe: Path, root: Path, *flags: str) -> int:
    """Exit code of `curate import`, in this process."""
    return main.main(["import", str(source), "--as", str(recipe), "--root", str(root), "--scheduler", "none", *flags])
