"""Shards as an `IterableDataset` of Hugging Face, for who trains with its `Trainer` or maps and mixes by its means.

Wants `pip install 'curation[huggingface]'`. The hub itself reads the shards as they are (`curate publish`), members as
bytes; here they come decoded, checked and selected as `open_shards` has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.utils.data

from curation.errors import ConfigError, extras
from curation.stream.dataset import ShardDataset


def iterable(dataset: ShardDataset) -> Any:
    """A `datasets.IterableDataset` of the samples of an epoch, each a dict of arrays and plain values.

    >>> rows = iterable(open_shards("shards/ssl4eo-s12-ml", "train", fields=["s2l2a_10m"], shuffle=True))
    >>> for row in rows.with_format("torch").take(3): ...

    Each iteration is the next epoch, as of the dataset itself: before rows go on by their own `state_dict`, call
    `dataset.set_epoch` with the one that was broken off. What this rank is to have, the dataset says: what shards it again,
    or has several workers (of which Hugging Face asks one alone), is refused when it is iterated.

    Args:
        dataset: of `open_shards`, without `batch_size`: Hugging Face makes the batches.

    Raises:
        ConfigError: the dataset makes batches, or `datasets` is not installed.
    """
    extras.check("huggingface", "curation.stream.huggingface")
    import datasets

    if dataset.batch_size is not None:
        raise ConfigError(
            "iterable: a dataset of batches: open it without batch_size, and have rows.batch(n) make them"
        )
    return datasets.IterableDataset.from_generator(_rows, gen_kwargs={"dataset": dataset})


def _rows(dataset: ShardDataset) -> Iterator[dict[str, Any]]:
    info = torch.utils.data.get_worker_info()
    if info is not None and info.num_workers > 1:
        raise ConfigError(
            f"iterable: {info.num_workers} workers, of which Hugging Face asks one alone, and that one has but its share: "
            "say num_workers=1 or 0, and open_shards(…, threads=n) for more at a time"
        )
    for sample in dataset:
        yield {name: _plain(value) for name, value in sample.items()}


def _plain(value: Any) -> Any:
    """As Arrow takes it."""
    if isinstance(value, torch.Tensor):
        value = value.float() if value.dtype is torch.bfloat16 else value
        return value.numpy()
    return value.item() if isinstance(value, np.generic) else value
