"""A training loop of somebody who knows the webdataset package and nothing of ours but the shards."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from curation.errors import ConfigError
from curation.stream.stock import webdataset
from tests.stream.conftest import NO_SUMMER_RADAR, NO_WINTER, arrays, key_of, truth

# webdataset leaves the last file it read to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_samples_are_dicts_of_what_the_index_names(packed):
    found = list(webdataset(packed))
    assert [s["__key__"] for s in found] == [key_of(n) for n in range(13)]
    for number, sample in enumerate(found):
        assert sample["meta"]["id"] == key_of(number)
        for name, entry in arrays().items():
            for season in entry.seasons or ["static"]:
                member = name if entry.is_static else f"{name}.{season}"
                if member in sample:
                    assert sample[member].dtype == entry.dtype
                    assert np.array_equal(sample[member], truth("train", number, name, season, entry))
    assert "s2l2a_10m.winter" not in found[NO_WINTER]
    assert "s1rtc_10m.summer" not in found[NO_SUMMER_RADAR]


def test_samples_that_lack_a_wanted_member_are_passed_over_and_the_others_come_as_tuples(packed):
    found = list(webdataset(str(packed.parent), "train", ["s1rtc_10m.summer", "dem_30m"]))
    assert len(found) == 12
    assert all(radar.shape == (2, 24, 24) and height.shape == (1, 8, 8) for radar, height in found)


def test_another_order_follows_from_the_seed_and_has_the_same_samples(packed):
    def keys(seed):
        return [s["__key__"] for s in webdataset(packed, shuffle=100, seed=seed)]

    assert keys(1) == keys(1) != keys(2)
    assert sorted(keys(1)) == sorted(key_of(n) for n in range(13))


@pytest.mark.parametrize(("workers", "stay"), [(0, False), (1, False), (1, True)])
def test_each_epoch_has_another_order_and_the_same_samples(packed, workers, stay):
    torch.manual_seed(5)
    data = webdataset(packed, "train", ["meta"], shuffle=100, seed=3)
    loader = DataLoader(data, batch_size=None, num_workers=workers, persistent_workers=stay)
    epochs = [[facts["id"] for (facts,) in loader] for _ in range(3)]
    assert len({tuple(its) for its in epochs}) == 3
    assert {tuple(sorted(its)) for its in epochs} == {tuple(sorted(key_of(n) for n in range(13)))}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stock_loop_trains_on_a_packed_dataset(packed, workers):
    torch.manual_seed(0)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(4 * 16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses, seen = [], set()
    data = webdataset(packed, "train", ["s2l2a_10m.summer", "meta"], shuffle=8)
    for _ in range(15):
        for images, facts in DataLoader(data.batched(3, partial=True), batch_size=None, num_workers=workers):
            pixels = torch.as_tensor(np.asarray(images)).float() / 10_000
            wanted = torch.tensor([[f["lon"] - 9.0] for f in facts])
            loss = nn.functional.mse_loss(model(pixels), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            seen |= {f["id"] for f in facts}
        if workers:
            break
    assert seen == {key_of(n) for n in range(13)}
    if not workers:
        assert np.mean(losses[-4:]) < np.mean(losses[:4]) / 2


def test_what_is_not_there_is_told(packed, tmp_path):
    for how, match in (
        ((packed, "test"), "no split 'test'; it has train, val"),
        ((packed, "train", ["s2l2a_10m"]), "no member s2l2a_10m; it has .*s2l2a_10m.summer"),
        ((tmp_path,), "not the folder of a dataset"),
    ):
        with pytest.raises(ConfigError, match=match):
            webdataset(*how)


@pytest.mark.slow
def test_the_package_is_imported_only_when_it_is_asked_for():
    code = "import sys, curation.stream; sys.exit('webdataset' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
