"""A graph for PyTorch Geometric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.errors import extras

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


def to_pyg(value: Mapping[Any, Mapping[str, Any]]) -> HeteroData:
    """What `Graph.to_dict` gives as `HeteroData`; it is one that `validate` passes.

    Raises:
        ConfigError: PyTorch Geometric is not installed.
    """
    extras.check("pyg", "to_pyg")
    import torch
    from torch_geometric.data import HeteroData

    def tensor(array: Any) -> Any:
        return torch.from_numpy(np.array(array))  # its own memory: a mapped file cannot be written to

    its = {name: {key: tensor(array) for key, array in of.items()} for name, of in value.items()}
    data = HeteroData.from_dict(its)
    data.validate()
    return data
