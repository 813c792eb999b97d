"""Domain adaptation: a labelled source and a target without labels in one loader, step by step.

>>> pairs = open_adaptation("shards/my-set", source="train", target="test", batch_size=16, fields=["s2l2a_10m"])
>>> for step in DataLoader(pairs, batch_size=None, num_workers=2):
...     step["source"]["labels"], step["target"]["s2l2a_10m"]

What tells labels of the target is withheld where batches are made, so that no loop can learn from it by mistake: scene
labels and their shares, the target of samples, class maps, and captions that are built in, which name classes. Nor does
`balance` have a part in which of its samples come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch.utils.data

from curation.errors import ConfigError
from curation.format.index import Index
from curation.format.names import LABEL
from curation.stream.dataset import ShardDataset
from curation.stream.loading import Transform
from curation.stream.open import open_shards

LABELS = tuple(f"{of}{name}" for of in ("", "annual_") for name in ("labels", "labels_known", "label_fractions"))
"""Entries of a batch that tell scene labels."""


class Without:
    """A transform: the batch without some of its entries, after another transform that sees no more either."""

    def __init__(self, names: frozenset[str], then: Transform | None) -> None:
        """`names`: of entries."""
        self.names, self.then = names, then

    def __call__(self, batch: dict[str, Any]) -> Any:
        """What is left of a batch."""
        left = {name: value for name, value in batch.items() if name not in self.names}
        return left if self.then is None else self.then(left)


class Adaptation(torch.utils.data.IterableDataset[dict[str, dict[str, Any]]]):
    """Steps of two splits: `source` as it is, `target` without what tells its labels.

    An epoch is one of the source. The target goes on with its next epoch, another order, as often as that takes; of a target
    that is larger an epoch has a part, and the next one begins with another order of it.
    """

    def __init__(self, source: ShardDataset, target: ShardDataset) -> None:
        """Both in batches; the target's without its labels."""
        super().__init__()
        self.source, self.target = source, target

    def __len__(self) -> int:
        """Steps of an epoch, of this rank."""
        return len(self.source)

    def __iter__(self) -> Iterator[dict[str, dict[str, Any]]]:
        """The steps of this process."""
        others = self._endless()
        for batch in self.source:
            yield {"source": batch, "target": next(others)}

    def _endless(self) -> Iterator[Any]:
        while True:
            count = 0
            for batch in self.target:
                count += 1
                yield batch
            if not count:  # a worker of more than the target has batches: it would wait for ever
                raise ConfigError(
                    "open_adaptation: a worker has no batch of the target: take fewer workers, or smaller batches"
                )


def open_adaptation(
    shards: str | Path,
    source: str = "train",
    target: str = "test",
    *,
    batch_size: int,
    target_shards: str | Path | None = None,
    fields: Sequence[str] | None = None,
    withhold: Sequence[str] = (),
    **opening: Any,
) -> Adaptation:
    """A labelled split beside another one without its labels, both shuffled, in steps of as many samples of each.

    Args:
        shards: a folder or URL.
        source: the split with labels.
        target: that without.
        batch_size: of each, on each rank.
        target_shards: where the target lies, if elsewhere.
        fields: which arrays and annotations come; of the target class maps do not. All of them where None.
        withhold: more entries of the target that are not to be given (a text of the user's own that tells labels).
        opening: what else `open_shards` is told of both; `balance`, of the source alone: it goes by labels.

    Raises:
        ConfigError: there is no such split, or nothing is left of the target's fields.
    """
    then = opening.pop("transform", None)
    how = {"shuffle": True, "batch_size": batch_size} | opening
    index = open_shards(target_shards or shards, target).index
    every = [*index.arrays, *index.annotations] if fields is None else list(fields)
    maps = [name for name, entry in index.arrays.items() if entry.role == "classes"] + _captions(index)
    names = [name for name in every if name not in maps and name not in withhold]
    if not names:
        raise ConfigError(f"open_adaptation: fields {every}: nothing of the target is left without its labels ({maps})")
    column = [] if index.target is None else [index.target.column]
    withheld = frozenset([*LABELS, LABEL, *column, *maps, *withhold])
    return Adaptation(
        open_shards(shards, source, fields=fields, **how, transform=then),
        open_shards(
            target_shards or shards, target, fields=names, **how | {"balance": False}, transform=Without(withheld, then)
        ),
    )


def _captions(index: Index) -> list[str]:
    """Annotations that are built-in captions, by what the index says of the words that they were made of."""
    read = index.counts.get("read", {})
    return [name for name in index.annotations if "words_sha256" in read.get(name, {})]
