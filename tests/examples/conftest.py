"""The shards of `tests/stream`, for programs that train on them."""

from pathlib import Path

import pytest

from tests.stream.conftest import copy, make_shards

__all__ = ["copy"]


@pytest.fixture(scope="session")
def packed(tmp_path_factory) -> Path:
    """The same shards, of which val has places of its own: what learns from one and is scored on the other refuses else."""
    folder = tmp_path_factory.mktemp("demo") / "shards"
    make_shards(folder, {"train": [4, 4, 4, 1], "val": [2]}, first={"val": 13})
    return folder


@pytest.fixture
def one_thread():
    """Threads that wait for each other on a busy machine take longer than what small models have to compute."""
    import torch  # not above: this file is read where torch is not installed, too

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
