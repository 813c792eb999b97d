"""A graph network over places, patches, cells and their series, in plain torch: what `curation.examples.graph` trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

EdgeType = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Joined:
    """The edges of a type: numbers of senders and receivers, and what they say of themselves, scaled."""

    src: Tensor
    dst: Tensor
    attr: Tensor
    """(edge, number)."""


def mean_of(messages: Tensor, dst: Tensor, count: int) -> Tensor:
    """The mean of what each node is sent; 0 where nothing is."""
    out = messages.new_zeros((count, messages.shape[1])).index_add_(0, dst, messages)
    degree = messages.new_zeros(count).index_add_(0, dst, messages.new_ones(len(dst)))
    return out / degree.clamp(min=1)[:, None]


class Layer(nn.Module):
    """What each node was, and the mean of what its neighbours of each type say, which depends on the edge, too."""

    def __init__(self, sizes: Mapping[str, int], edges: Mapping[EdgeType, Joined], width: int) -> None:
        super().__init__()
        self.own = nn.ModuleDict({name: nn.Linear(width, width) for name in sizes})
        self.norm = nn.ModuleDict({name: nn.LayerNorm(width) for name in sizes})
        self.sent = nn.ModuleDict({"-".join(t): nn.Linear(width + e.attr.shape[1], width) for t, e in edges.items()})

    def forward(self, states: Mapping[str, Tensor], edges: Mapping[EdgeType, Joined]) -> dict[str, Tensor]:
        """The next states of all nodes."""
        out = {name: self.own[name](h) for name, h in states.items()}
        for (source, relation, target), its in edges.items():
            said = self.sent[f"{source}-{relation}-{target}"](torch.cat([states[source][its.src], its.attr], 1))
            out[target] = out[target] + mean_of(said, its.dst, len(states[target]))
        return {name: states[name] + self.norm[name](h).relu() for name, h in out.items()}


class Network(nn.Module):
    """From what is known of nodes to states of all; heads tell what was hidden, and the change of the target.

    Edges that it is made with say which types there are: one without edges of a type is made without its weights.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        edges: Mapping[EdgeType, Joined],
        hidden: Mapping[str, int],
        width: int,
        depth: int,
    ) -> None:
        super().__init__()
        self.first = nn.ModuleDict(
            {n: nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width)) for n, size in sizes.items()}
        )
        self.layers = nn.ModuleList(Layer(sizes, edges, width) for _ in range(depth))
        self.hidden = nn.ModuleDict({name: nn.Linear(width, size) for name, size in hidden.items()})
        self.change = nn.Linear(2 * width, 1)  # of a series, and of its cell
        nn.init.zeros_(self.change.weight)  # begins as persistence
        nn.init.zeros_(self.change.bias)

    def forward(self, x: Mapping[str, Tensor], edges: Mapping[EdgeType, Joined]) -> dict[str, Tensor]:
        """States of all nodes."""
        states = {name: self.first[name](values) for name, values in x.items()}
        for layer in self.layers:
            states = layer(states, edges)
        return states


def masked(values: Tensor, known: Tensor, share: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """What a node is given of its numbers, and which of them are hidden.

    Args:
        values: (node, number).
        known: which of them are known.
        share: of the known ones that is hidden.
        draw: which.

    Returns:
        Numbers, 0 where hidden or unknown, beside whether each is given; and whether each is hidden.
    """
    hides = known & (torch.rand(values.shape, generator=draw) < share)
    shown = known & ~hides
    return torch.cat([torch.where(shown, values, 0), shown.float()], 1), hides
