"""A stand-in for Dynamic World's model, trained on one region of the embedded Earth and judged by the truth of the other.

It is three layers of 1 × 1 convolutions, trained in seconds; the Earth has no level 1C, so it is given L2A, and what it
comes to says nothing of the published model: only that bands, order, scaling, mask and legend go through right. In training
labels are those of that Earth's Dynamic World, which errs; in judging its ground.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio

from curation.cli import main
from curation.cubes.contents import opened
from curation.embedded.sensors import mistakes
from curation.embedded.world import ground, regions
from curation.embedded.world.grids import Grid, frame_pixels
from curation.pack.labels import model
from curation.recipe.dataset import Dataset, load_dataset
from curation.store.objects import Store
from tests.once import one_at_a_time

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.timeout(1800)]

TRAINED_ON, JUDGED_ON = "sao-paulo", "lower-rhine"
NAMES = ("water", "trees", "grass", "flooded_vegetation", "crops", "shrub_and_scrub", "built", "bare")
RECIPE = """
name = "stand-in"
title = "Places of the embedded Earth for a stand-in model"
seed = 42
catalog = "embedded"

[grid]
size_m = 1320

[places]
sampler = "gaussian-cities"
count = 20_000
cities = 10_000
std_km = 50
regions = ["lower-rhine", "sao-paulo"]

[seasons]
summer = { start = 2021-06-01, end = 2021-09-01 }

[sources]
s2l2a = {}
dynamicworld = { required = false }

[labels]
seasonal = "dynamicworld"
"""


def places(dataset: Dataset, store: Store, region: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(location, model's input (y, x, 9), Dynamic World (y, x)) of each patch that is built."""
    contents = opened(dataset, store, region, "summer")
    out = []
    for name, outcome in contents.outcomes.items():
        if "dynamicworld_10m" not in outcome.chunks:
            continue
        bands = {}
        for array, spec in dataset.arrays["s2l2a"].items():
            dn, _ = model.at_10_m(contents.pixels(array, name), spec, 132)
            bands |= dict(zip(spec.bands, dn, strict=True))
        given = model.prepared(np.stack([bands[b] for b in model.BANDS]))
        out.append((name, given, contents.pixels("dynamicworld_10m", name)[0]))
    return out


def trained(path: Path, patches: list[tuple[str, np.ndarray, np.ndarray]]) -> Path:
    """A model file, as TorchScript with the published layout."""
    import torch

    x = np.concatenate([given[codes != 255] for _, given, codes in patches])
    y = np.concatenate([codes[codes != 255] for _, _, codes in patches])
    some = np.random.default_rng(1).permutation(len(y))[:60_000]
    inputs, labels = torch.from_numpy(x[some]), torch.from_numpy(y[some].astype(np.int64))
    mean, std = inputs.mean(dim=0), inputs.std(dim=0)

    class StandIn(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = (9, 32, 32, 9)
            self.layers = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(sizes))

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            out = ((given - mean) / std).permute(0, 3, 1, 2)
            for n, layer in enumerate(self.layers):
                out = layer(out if n == 0 else torch.relu(out))
            return out.permute(0, 2, 3, 1)

    torch.manual_seed(0)
    made = StandIn()
    steps = torch.optim.Adam(made.parameters(), 0.01)
    for step in range(300):
        part = torch.arange(step * 2_000, step * 2_000 + 2_000) % len(labels)
        loss = torch.nn.functional.cross_entropy(made(inputs[part][None, None]).reshape(-1, 9), labels[part])
        steps.zero_grad()
        loss.backward()
        steps.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is old
        torch.jit.trace(made.eval(), torch.zeros(1, 132, 132, 9)).save(str(path))
    return path


def truth(land: ground.Ground, region: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What a map says, and what the ground there is."""
    with rasterio.open(path) as file:
        t = file.transform
        its = Grid(file.crs.to_epsg(), t.c, t.f, t.a, -t.e, file.height, file.width)
        row, col = (v.astype(np.int32) for v in frame_pixels(its, regions.by_name(region)))
        return file.read(1), mistakes.truth(land, row, col)


def test_a_stand_in_says_what_the_ground_of_a_region_is_that_it_never_saw(rendering: Path, tmp_path: Path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    flags = ["--dataset", str(recipe), "--root", str(tmp_path / "root"), "--scheduler", "none"]
    for region in (TRAINED_ON, JUDGED_ON):
        with one_at_a_time(rendering):
            assert main.main(["build", *flags, "--region", region, "--limit", "12"]) == 0
    dataset, store = load_dataset(str(recipe)), Store(tmp_path / "root" / "stand-in")
    file = trained(tmp_path / "stand-in.pt", places(dataset, store, TRAINED_ON))
    assert main.main(["labels", "model", str(file), *flags, "--region", JUDGED_ON, "--source", "s2l2a"]) == 0
    maps = sorted((tmp_path / "root" / "stand-in" / "maps").rglob("*.tif"))
    assert len(maps) >= 6
    land = ground.make(regions.by_name(JUDGED_ON))
    said, true = (np.stack(its) for its in zip(*(truth(land, JUDGED_ON, p) for p in maps), strict=True))
    there = said != 255
    said, true = said[there], true[there]
    agreement = float((said == true).mean())
    with capsys.disabled():
        print(f"\nstand-in model, {len(maps)} places, {there.mean():.2f} labelled: agreement {agreement:.3f}")
        for code, name in enumerate(NAMES):
            of, its = true == code, said == code
            if of.any():
                recall, precision = (its & of).sum() / of.sum(), (its & of).sum() / max(its.sum(), 1)
                print(f"  {name:20} {of.mean():6.3f} of the ground; recall {recall:.3f}, precision {precision:.3f}")
    assert agreement > 0.5
    assert there.mean() > 0.9
    assert main.main(["pack", *flags, "--region", JUDGED_ON]) == 0
    assert main.main(["verify", "--dataset", str(recipe), "--root", str(tmp_path / "root")]) == 0
