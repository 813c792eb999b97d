"""The shards of `tests/stream`, for programs that train on them."""

import pytest

from tests.stream.conftest import copy, packed

__all__ = ["copy", "packed"]


@pytest.fixture
def one_thread():
    """Threads that wait for each other on a busy machine take longer than what small models have to compute."""
    import torch  # not above: this file is read where torch is not installed, too

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
