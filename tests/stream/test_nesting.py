"""Arrays whose pixels are no whole parts of one another: each whole, and never on one grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curation.errors import ConfigError
from curation.stream import open_shards
from tests.stream.mixes import AERIAL, S2, entry, pack, truth

ARRAYS = {
    "naip_0p6m": entry("naip", AERIAL, 100, 0.6, seasons=(), unit="1", encoding="npy"),
    "s2l2a_10m": entry("s2l2a", S2, 6, 10.0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("nesting")
    pack(made, "s2", 4, ARRAYS)
    return made


def test_each_is_read_whole(folder: Path):
    (batch,) = open_shards(folder, batch_size=4)
    for number in range(4):
        assert np.array_equal(batch["naip_0p6m"][number].numpy(), truth("naip_0p6m", ARRAYS["naip_0p6m"], number, -1))
        of = ARRAYS["s2l2a_10m"]
        assert np.array_equal(batch["s2l2a_10m"][number, 1].numpy(), truth("s2l2a_10m", of, number, 1))


@pytest.mark.parametrize("how", [{"crop_px": 50}, {"upsample": "nearest"}])
def test_no_crop_and_no_grid_is_of_the_same_ground_in_both(folder: Path, how):
    with pytest.raises(ConfigError, match=r"s2l2a_10m: pixels of 10 m do not consist of whole pixels of 0.6 m"):
        open_shards(folder, batch_size=4, **how)
    assert open_shards(folder, batch_size=4, fields=["naip_0p6m"], **how).layout.arrays
