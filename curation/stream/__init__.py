"""Shards into torch: imports no dask, rasterio or STAC, so that it starts fast on a GPU node.

`plan` says in which order (pure), `layout` what a sample looks like, `opening` checks a split, `fetch` gets bytes, `reading`
checks them, `meta` and `decode` put them where they belong, `filling` does so with threads, `ring` and `batch` are the
memory and its way to the consumer, `ranks` is which rank this is, `state` which epoch and how far it has come. `dataset`
is what torch sees, by `epochs`, which a mix has in common with it; `loading` is what both are told, and `meter` says what
each batch took. `mix` (opened by `openmix`) has several in one loader, of `parts`, in the order of `mixing`, each as an
`image`, gone on with by `mixstate`. `stock` reads the same shards by the webdataset package.
"""

from curation.stream.dataset import ShardDataset
from curation.stream.decode import decoder
from curation.stream.image import select_bands
from curation.stream.mix import MixDataset
from curation.stream.open import open_shards
from curation.stream.openmix import open_mix
from curation.stream.parts import Part
from curation.stream.resample import upsample
from curation.stream.stock import webdataset

__all__ = [
    "MixDataset",
    "Part",
    "ShardDataset",
    "decoder",
    "open_mix",
    "open_shards",
    "select_bands",
    "upsample",
    "webdataset",
]
