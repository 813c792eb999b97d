"""What wants an extra says so in one line; with it, `integration/test_frameworks.py` trains."""

import pytest
import torch
from torch.utils.data import DataLoader

from curation.errors import ConfigError, extras
from curation.stream import open_shards
from curation.stream.huggingface import _rows, iterable
from curation.stream.lightning import ShardDataModule
from curation.stream.terratorch import GeoDataModule


@pytest.mark.parametrize("extra", ["lightning", "terratorch", "huggingface"])
def test_without_an_extra_one_line_says_how_to_have_it(packed, monkeypatch: pytest.MonkeyPatch, extra: str):
    monkeypatch.setattr(extras, "missing", lambda name: list(extras.MODULES[name]))
    made = {
        "lightning": lambda: ShardDataModule(packed),
        "terratorch": lambda: GeoDataModule(packed, ["s2l2a_10m"]),
        "huggingface": lambda: iterable(open_shards(packed, "train")),
    }
    wanted = "lightning" if extra == "terratorch" else extra
    with pytest.raises(ConfigError, match=rf"not installed \(\w+\): pip install 'curation\[{wanted}\]'"):
        made[extra]()


def test_a_split_that_is_named_and_not_there_is_refused_and_the_usual_ones_need_not_be(packed, monkeypatch):
    monkeypatch.setattr(extras, "missing", lambda name: [])
    usual = ShardDataModule(packed, batch_size=2, num_workers=0, fields=[])
    for stage in ("fit", "test"):
        usual.setup(stage)
    assert list(usual.datasets) == ["train", "val"]
    assert usual.test_dataloader() == []
    for wrong in ({"val": "valid"}, {"train": "trian"}):
        with pytest.raises(ConfigError, match=f"no split '{next(iter(wrong.values()))}'; expected one of"):
            ShardDataModule(packed, num_workers=0, fields=[], **wrong).setup("fit")


class Rows(torch.utils.data.IterableDataset):
    """As `datasets` has it: of several workers the first alone is asked for rows."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        if info is None or info.id == 0:
            yield from _rows(self.dataset)


@pytest.mark.parametrize("workers", [0, 1])
def test_one_worker_of_hugging_face_has_all_rows(packed, workers: int):
    rows = Rows(open_shards(packed, "train", fields=[]))
    assert len({row["key"] for row in DataLoader(rows, batch_size=None, num_workers=workers)}) == 13


def test_several_workers_of_which_one_alone_is_asked_are_refused(packed):
    loader = DataLoader(Rows(open_shards(packed, "train", fields=[])), batch_size=None, num_workers=2)
    with pytest.raises(ConfigError, match=r"2 workers, of which Hugging Face asks one alone.*num_workers=1 or 0"):
        list(loader)


class IterableDataset:
    """As `datasets` has it: `split_dataset_by_node` gives it the node that it is of."""

    def __init__(self, dataset, distributed):
        self.dataset, self._distributed = dataset, distributed

    def __iter__(self):
        yield from self.dataset


def test_rows_that_are_split_by_node_are_dealt_a_second_time_and_refused(packed):
    dataset = open_shards(packed, "train", fields=[])
    assert len(list(IterableDataset(dataset, None))) == 13
    with pytest.raises(ConfigError, match=r"deals samples to ranks by itself.*leave out split_dataset_by_node"):
        list(IterableDataset(dataset, (0, 2)))
