"""Shards into torch: imports no dask, rasterio or STAC, so that it starts fast on a GPU node.

`plan` says in which order (pure), `opening` checks a split, `fetch` gets bytes, `reading` checks them, `meta`
and `decode` make samples, `dataset` is what torch sees.
"""

from curation.stream.dataset import ShardDataset, open_shards

__all__ = ["ShardDataset", "open_shards"]
