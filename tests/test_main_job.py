"""The main job's product on the embedded Earth, looked at from outside. Made once, at about half its size."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader

from curation.cli import main
from curation.pack.captions import checking, packed, words
from curation.pack.captions.facts import StoredFact
from curation.recipe import files
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store
from curation.stream.open import open_shards
from tests.once import one_at_a_time

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # what is made once takes minutes, beside other tests more


@pytest.fixture(scope="module")
def folder(rendering: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("main")
    where = ["--root", str(root), "--catalog", "embedded"]
    with one_at_a_time(rendering):
        assert main.main(["build", *where, "--scheduler", "none", "--limit", "24"]) == 0
    recipe = root / "recipe.toml"  # with captions beside all else
    recipe.write_text((files.folder("manifests") / "ssl4eo-s12-ml" / "recipe.toml").read_text() + CAPTIONS)
    assert main.main(["pack", "--dataset", str(recipe), *where, "--scheduler", "none"]) == 0
    return root / "ssl4eo-s12-ml"


CAPTIONS = """
[annotations.captions]
function = "captions"
type = "json"
[annotations.caption]
function = "caption"
type = "text"
"""


def test_all_that_captions_of_a_sample_tell_is_stored_and_what_dominates_is_told(folder: Path):
    dataset = load_dataset(str(folder.parent / "recipe.toml"))
    english, seen = words.of_bytes(dataset.annotations["captions"].source, "en"), 0
    for key, made in packed.read(dataset, Store(folder), "captions"):
        assert made is not None
        for its in (made, *made["seasons"].values()):
            facts = [StoredFact.from_json(name, value) for name, value in its["facts"].items()]
            assert 3 <= len(its["captions"]) <= 5
            for text, sources in zip(its["captions"], its["sources"], strict=True):
                assert not checking.faults(text, english, facts), (key, text)
                assert {*sources} == {*checking.facts_in(text, english, facts)}, (key, text)
        # The recipe's seasons are those of the north.
        turned = {"winter": "summer", "summer": "winter", "spring": "autumn", "autumn": "spring"}
        for season, its in made["seasons"].items():
            said = its["facts"].get("season", {}).get("value")  # none where radar was there a season before
            assert said in (None, turned[season] if made["facts"].get("country") else season), key
        seen += 1
    assert seen > 10
    said = [one["caption"] for split in ("train", "val") for one in open_shards(str(folder), split)]
    assert len({*said}) == len(said) == seen


def test_two_regions_several_zones_and_reasons(folder: Path):
    index = json.loads((folder / "shards" / "index.json").read_text())
    reasons = Counter(r for region in index["counts"]["patches"].values() for s in region.values() for r in s)
    assert {"lower-rhine", "sao-paulo"} == set(index["counts"]["patches"])
    assert len([r for r in reasons if r != "ok"]) >= 2
    zones = {int(e) for p in folder.glob("cubes/*/summer.zarr") for e in np.unique(xr.open_zarr(p).epsg.values)}
    assert len(zones) >= 2
    assert any(z >= 32700 for z in zones)


def test_every_sample_comes_exactly_once_whatever_the_workers(folder: Path):
    # The loader makes batches here, of what has one shape in all samples: captions are some more or fewer.
    split = open_shards(str(folder), "train", shuffle=True, fields=["s2l2a_10m", "dem_30m"])
    expected = sorted(s["key"] for s in split)
    assert expected
    for workers in (0, 1, 2):
        loader = DataLoader(split, batch_size=4, num_workers=workers)
        keys = [k for b in loader for k, pad in zip(b["key"], b["is_pad"].tolist(), strict=True) if not pad]
        assert sorted(keys) == expected


def test_radiometry_is_one_over_baselines(folder: Path):
    # Old and new baselines stand side by side; harmonised, their dark ends agree and none carries the +1000.
    darkest: dict[bool, list[float]] = {False: [], True: []}
    for path in folder.glob("cubes/*/*.zarr"):
        if "static" in path.name:
            continue
        cube = xr.open_zarr(path)
        for patch in np.flatnonzero(cube.status.values == 1):
            green = cube.s2l2a_10m.isel(patch=int(patch)).sel(s2l2a_10m_band="B03").values
            darkest[bool(cube.s2l2a_offset_dn.values[patch])].append(float(np.percentile(green, 2)))
    assert darkest[True]
    assert darkest[False]
    assert np.median(darkest[True]) < 900
    assert np.median(darkest[False]) < 900


def test_labels_can_be_learnt_from_pixels_but_are_not_copied(folder: Path):
    # A linear probe on band means tells water, trees and built-up better than the most frequent answer does.
    samples = list(open_shards(str(folder), "train")) + list(open_shards(str(folder), "val"))
    features, targets = [], []
    for sample in samples:
        for season in range(4):
            if not bool(sample["labels_known"][season]):
                continue
            bands = torch.cat(
                [
                    sample[f"s2l2a_{r}m"][season]
                    .to(torch.float32)
                    .flatten(1)
                    .quantile(torch.tensor([0.1, 0.5, 0.9]), dim=1)
                    .flatten()
                    for r in (10, 20)
                ]
            )
            features.append(bands.log())
            targets.append(sample["label_fractions"][season])
    x, y = torch.stack(features), torch.stack(targets)
    assert len(x) >= 40
    x = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(len(x), 1)], 1)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, test = order[: len(x) // 2], order[len(x) // 2 :]
    weights = torch.linalg.solve(x[train].T @ x[train] + 5 * torch.eye(x.shape[1]), x[train].T @ y[train])
    error = ((x[test] @ weights - y[test]) ** 2).mean(0)
    spread = ((y[train].mean(0) - y[test]) ** 2).mean(0)
    learnt = [n for n in range(9) if spread[n] > 1e-3 and error[n] < 0.7 * spread[n]]
    assert len(learnt) >= 2
    assert float(error.max()) > 0  # class noise of their own: nothing is told exactly


def test_a_border_place_without_a_scene_of_its_zone_is_warped_and_marked(folder: Path):
    marked = Counter()
    for path in folder.glob("cubes/lower-rhine/*.zarr"):
        cube = xr.open_zarr(path)
        for name in ("s1rtc_warped", "dem_warped", "s2l2a_warped"):
            if name in cube:
                marked[name] += int(cube[name].values[cube.status.values == 1].sum())
    assert marked["dem_warped"] > 0  # EPSG:4326 always is
    assert marked["s1rtc_warped"] > 0  # the descending orbit's scenes are in zone 32
    assert marked["s2l2a_warped"] < 24  # Sentinel-2 has its own zone's scene nearly everywhere
