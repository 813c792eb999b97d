"""Cards as those open them that they are for: mlcroissant, jsonschema with MLM's schema, `datasets` of Hugging Face."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest

from curation.format import payload
from curation.stream import open_shards
from tests.integration.conftest import needed
from tests.run import Curate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

RECORDS = """
import base64, json, sys
import mlcroissant
card = mlcroissant.Dataset(sys.argv[1])
plain = lambda v: base64.b64encode(v).decode() if isinstance(v, bytes) else v
issues = card.metadata.ctx.issues
out = {"errors": sorted(issues.errors), "warnings": sorted(issues.warnings), "records": {}}
for name in sys.argv[2:]:
    out["records"][name] = [{k: plain(v) for k, v in r.items()} for r in card.records(name)]
print(json.dumps(out))
"""


def opened(card: Path, *names: str, home: Path) -> dict[str, Any]:
    """What mlcroissant says of a card, and its records: bytes in base64."""
    done = subprocess.run(
        [sys.executable, "-c", RECORDS, str(card), *names],
        env=os.environ | {"HOME": str(home)},  # where it keeps what it has unpacked
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def bytes_of(text: str) -> bytes:
    import base64

    return base64.b64decode(text)


def test_mlcroissant_yields_the_values_that_the_reader_does(built: Curate, tmp_path: Path):
    needed("cards opened by mlcroissant", "" if _has("mlcroissant") else "no mlcroissant in this Python")
    members = ["s2l2a_10m.summer", "s1rtc_10m.autumn", "dem_30m"]
    told = opened(built.folder / "card/croissant.json", "splits", "samples-train", "meta", *members, home=tmp_path)
    assert told["errors"] == []
    assert all("is recommended, but does not exist" in w for w in told["warnings"])
    reader = open_shards(built.folder / "shards", "train").by_id()
    ids = {bytes_of(r["samples-train/id"]).decode(): r for r in told["records"]["samples-train"]}
    assert len(ids) == reader_size(built) > 0
    compared = 0
    for name in members:
        array, _, season = name.partition(".")
        entry = reader_entry(built, array)
        for record in told["records"][name]:
            key = bytes_of(record[f"{name}/sample"]).decode()
            ours = reader[key]
            pixels = payload.decode(bytes_of(record[f"{name}/bytes"]), entry["encoding"], key)
            theirs = ours[array][["summer", "autumn"].index(season)] if season else ours[array]
            assert np.array_equal(pixels, theirs.numpy())
            assert ids[key]["samples-train/lon"] == ours["lon"]
            compared += 1
    assert compared == len(members) * len(ids)
    for record in told["records"]["meta"]:
        meta = json.loads(bytes_of(record["meta/bytes"]))
        assert meta["id"] == bytes_of(record["meta/sample"]).decode()
        assert meta["lat"] == ids[meta["id"]]["samples-train/lat"]
    assert {r["splits/name"] for r in told["records"]["splits"]} == {"train", "val"}


def reader_size(built: Curate) -> int:
    return int(json.loads((built.folder / "shards/index.json").read_text())["splits"]["train"]["samples"])


def reader_entry(built: Curate, array: str) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((built.folder / "shards/index.json").read_text())["arrays"][array]
    return entry


def test_what_is_laid_out_for_a_hub_is_opened_where_it_lies(built: Curate, tmp_path: Path):
    needed("cards opened by mlcroissant", "" if _has("mlcroissant") else "no mlcroissant in this Python")
    assert built("publish", "--to", str(tmp_path / "out"), "--scheduler", "none") == 0
    told = opened(tmp_path / "out/croissant.json", "dem_30m", home=tmp_path)
    assert told["errors"] == []
    assert len(told["records"]["dem_30m"]) == reader_size(built)
    subprocess.run(["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=tmp_path / "out", check=True)


def test_stac_is_valid_by_the_schemas_of_its_version_and_mlm_by_its_own(built: Curate, shared: Path):
    needed("STAC validated by pystac", "" if _has("jsonschema") else "no jsonschema in this Python")
    import jsonschema
    import referencing

    folder = built.folder / "card/stac"
    collection = pystac.Collection.from_file(str(folder / "collection.json"))
    for each in [collection, *collection.get_items()]:
        value = each.to_dict(include_self_link=False, transform_hrefs=False)
        assert pystac.validation.validate_dict(value, extensions=[]), each.id
    schema = json.loads((shared / "data/stac-mlm/schema.json").read_text())
    # What it refers to beside itself lies elsewhere: types of numbers, classes and expressions.
    types = {"enum": ["uint8", "int16", "uint16", "float32"]}
    bands = {"definitions": {"bands": {"items": {"properties": {"data_type": types}}}}}
    others = {
        "raster/v1.1.0": bands,
        "classification/v1.1.0": {"definitions": {"fields": {"properties": {"classification:classes": {}}}}},
        "processing/v1.1.0": {"definitions": {"fields": {"properties": {"processing:expression": {}}}}},
    }
    resources = [
        (
            f"https://stac-extensions.github.io/{name}/schema.json",
            referencing.Resource.from_contents({"$schema": "http://json-schema.org/draft-07/schema#"} | value),
        )
        for name, value in others.items()
    ]
    checker = jsonschema.Draft7Validator(schema, registry=referencing.Registry().with_resources(resources))
    theirs = json.loads((shared / "data/stac-mlm/item_basic.json").read_text())
    assert not list(checker.iter_errors(theirs))
    template = json.loads((folder / "model-input.json").read_text())
    assert not [e.message for e in checker.iter_errors(template)]
    del template["assets"]["model"]["eo:bands"]  # which the schema wants where inputs name some
    assert list(checker.iter_errors(template))


def _has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
