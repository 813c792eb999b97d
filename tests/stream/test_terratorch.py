"""Batches as TerraTorch's tasks take them are those of `GeoSamples`, with numbers of classes; `integration/` trains."""

import numpy as np
import pytest
import torch

from curation.errors import ConfigError, extras
from curation.stream.terratorch import GeoDataModule
from curation.stream.torchgeo import GeoSamples
from tests.run import Curate


@pytest.fixture(autouse=True)
def _as_if_lightning_were_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "missing", lambda name: [])


def module(built: Curate, **how) -> GeoDataModule:
    return GeoDataModule(built.folder / "shards", ["s2l2a_10m"], batch_size=3, num_workers=0, **how)


def test_batches_are_samples_with_numbers_of_classes_and_nothing_that_a_model_would_be_handed(built: Curate):
    own = GeoSamples(built.folder / "shards", "train", ["s2l2a_10m"], mask="worldcover_10m", normalize=True)
    by_key = {s["key"]: s for s in (own[n] for n in range(len(own)))}
    codes = sorted({int(c) for s in by_key.values() for c in s["mask"].unique()})
    data = module(built, mask="worldcover_10m", classes=codes[1:])
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert len(batches) == len(own) // 3  # the last one is not full
    for batch in batches:
        assert set(batch) == {"image", "mask", "filename"}
        for key, image, mask in zip(batch["filename"], batch["image"], batch["mask"], strict=True):
            assert torch.equal(image, by_key[key]["image"])
            code = by_key[key]["mask"].numpy()
            assert np.array_equal(np.where(code == codes[0], -1, np.searchsorted(codes[1:], code)), mask.numpy())
    assert list(data.datasets) == ["train"]  # val has no sample here
    assert data.val_dataloader() == data.test_dataloader() == []


def test_without_a_map_there_are_labels_and_a_map_s_codes_are_as_they_are(built: Curate):
    data = module(built)
    data.setup("fit")
    assert set(next(iter(data.train_dataloader()))) == {"image", "label", "filename"}
    data = module(built, mask="worldcover_10m")
    data.setup("fit")
    assert int(next(iter(data.train_dataloader()))["mask"].max()) >= 10


@pytest.mark.parametrize("classes", [[], [10, 10]])
def test_classes_that_are_none_or_twice_are_refused(built: Curate, classes):
    with pytest.raises(ConfigError, match="expected codes of the map, each once"):
        module(built, classes=classes)


def test_a_split_of_ones_own_that_is_not_there_is_told(built: Curate):
    with pytest.raises(ConfigError, match="no split 'valid'"):
        module(built, val="valid").setup("fit")
