"""The parts of a mix: what of which dataset makes the images of each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.errors import ConfigError
from curation.format.index import Index
from curation.format.signature import Signature
from curation.stream import platforms
from curation.stream.batch import Shape
from curation.stream.dataset import ShardDataset
from curation.stream.filling import Filling
from curation.stream.image import OWN, Stack, image_of
from curation.stream.layout import Crop
from curation.stream.loading import Loading, check_names
from curation.stream.open import open_shards
from curation.stream.opening import OpenSplit
from curation.stream.plan import own_seed
from curation.stream.resample import Upsample


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a mix: a dataset, and which of its arrays make an image; all of one signature."""

    dataset: str | Path
    """Folder or URL, as `open_shards` takes it. Several parts may be of one dataset."""
    arrays: Sequence[str] | None = None
    """Names of those whose bands are stacked, of one size in pixels and metres; its only one of role `data` where None."""
    bands: Sequence[str] | None = None
    """Canonical names (`s2.b04`), or the source's, in the order wanted; all, in the order of arrays, where None."""
    seasons: Sequence[str] | None = None
    """One of them is drawn for each sample and epoch, of those that it has; all where None."""
    split: str | None = None
    """That of the mix where None."""
    beside: Sequence[str] = ()
    """Names of annotations and columns that batches carry, too."""
    require: Collection[str] = ()
    """Names of sources that a sample must have, in one season at least; others are left out."""
    upsample: Upsample | None = None
    """How coarser arrays come onto the finest of them."""
    crop_px: int | None = None
    """Side of a square crop, finest pixels; the whole footprint where None."""
    crop: Crop = "random"
    """Where crops lie: `random`, or `center`."""
    batch_size: int | None = None
    """Samples per batch and rank; that of the mix where None."""
    platform: str | None = None
    """The satellite that its images are of, as STAC calls it (`sentinel-2b`): wavelengths are then its own, and signatures
    tell it. Samples must say so of each (`angles = true` in the recipe); where None satellites are not told apart."""
    domains: Sequence[str] = ()
    """Names of domains whose number batches carry, by the dataset's own index."""


@dataclass(frozen=True, slots=True)
class OpenPart:
    """A part that was opened."""

    name: str
    dataset: ShardDataset
    """Reads its samples, as they are stored: `dataset.by_id()` is any of them, `dataset.index` says what they are."""
    image: Stack
    share: float
    """Of what is drawn, over all parts."""
    quota: int | None
    """Samples of an epoch where it is drawn from without end; None: each once."""

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """Of its images: one, or of bands from several arrays one for each run of them, in order."""
        return self.image.signatures

    @property
    def samples(self) -> int:
        """Of an epoch, over all ranks."""
        return self.dataset.samples if self.quota is None else self.quota

    @property
    def rate(self) -> float:
        """How fast its samples go by: as many as an epoch has where these were chosen by their share."""
        return self.share if self.quota is None else float(self.quota)

    @property
    def batch_size(self) -> int:
        """Samples per batch and rank."""
        return self.dataset.batch_size or 1

    @property
    def shape(self) -> Shape:
        """Of its batches."""
        return Shape.of(self.dataset.layout, self.batch_size, self.image.made)

    def filling(self) -> Filling:
        """What fills its batches in this process."""
        return self.dataset.filling(self.image.finish)

    def delivered(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch as the mix gives it."""
        return self.image.delivered(batch, self.dataset.layout.arrays, self.name)


@dataclass(frozen=True, slots=True)
class Unshared:
    """A part that was opened, before anybody knows how much of the mix it is."""

    dataset: ShardDataset
    image: Stack


def opened(
    name: str,
    part: Part,
    split: OpenSplit,
    *,
    batch_size: int,
    shuffle: bool,
    normalize: bool,
    loading: Loading,
) -> Unshared:
    """A part whose split is open.

    Args:
        name: of the part: what is random in it follows from that and the seed.
        part: what of it is wanted.
        split: it.
        batch_size: samples per batch and rank.
        shuffle: whether its samples are.
        normalize: whether images are.
        loading: of the mix.

    Raises:
        ConfigError: it has no such array, band or season, or these make no image, or images are of another satellite than
            the part says; what to choose is said.
    """
    where = f"part {name!r} ({split.url})"
    if pixels := [n for n in part.beside if n in split.index.arrays]:
        raise ConfigError(
            f"{where}: beside = {pixels}: arrays are no entries beside the image; expected annotations or columns, or put "
            "them among 'arrays', as channels of it"
        )
    arrays = _arrays(split.index, part.arrays, where)
    try:
        dataset = open_shards(
            split,
            batch_size=batch_size,
            fields=[*arrays, *part.beside],
            seasons=_seasons(split.index, arrays, part.seasons, where),
            draw_seasons=None if all(split.index.arrays[a].is_static for a in arrays) else 1,
            require=part.require,
            domains=part.domains,
            upsample=part.upsample,
            crop_px=part.crop_px,
            crop=part.crop,
            shuffle=shuffle,
            seed=own_seed(loading.seed, name),
            mix_shards=loading.mix_shards,
            check=loading.check,
            threads=loading.threads,
        )
    except ConfigError as err:
        raise ConfigError(f"part {name!r}: {err}") from err
    known = platforms.arrays_of(split, arrays, dataset.seasons, part.platform, where) if part.platform else ()
    of = {array: str(part.platform) for array in known}
    how_made: dict[str, Any] = {"dtype": loading.dtype, "normalize": normalize, "where": where, "platforms": of}
    image = image_of(split.index, dataset.layout, part.bands, **how_made)
    if taken := sorted({*dataset.layout.facts, *dataset.layout.values} & set(OWN)):
        raise ConfigError(f"{where}: {taken} are called as entries of a mix: leave them out of beside")
    return Unshared(dataset, image)


def _arrays(index: Index, names: Sequence[str] | None, where: str) -> list[str]:
    """Those that make the image."""
    every = {n: f"{n} ({e.shape[1]} px of {e.res_m or '?'} m)" for n, e in sorted(index.arrays.items())}
    if names is None:
        names = [n for n in every if index.arrays[n].role == "data"]
        if len(names) != 1:
            raise ConfigError(
                f"{where}: which arrays make the image? say Part(…, arrays=[…]), of one size: {', '.join(every.values())}"
            )
    check_names(f"{where}: arrays", names, every)
    if unknown := [n for n in names if n not in every]:
        raise ConfigError(f"{where}: arrays: no {unknown}; expected some of: {', '.join(every.values())}")
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"{where}: arrays = {list(names)}: expected at least one, and each once")
    return list(names)


def _seasons(index: Index, arrays: Sequence[str], asked: Sequence[str] | None, where: str) -> list[str] | None:
    """Those of the asked ones that each of the arrays may have, so that one can be drawn."""
    sets = [set(index.arrays[a].seasons) for a in arrays if not index.arrays[a].is_static]
    if asked is not None:
        check_names(f"{where}: seasons", asked, index.seasons)
        return list(asked)
    if not sets:
        return None
    found = [s for s in index.seasons if all(s in of for of in sets)]
    if not found:
        raise ConfigError(f"{where}: arrays {list(arrays)} have no season in common: make each a part of its own")
    return found
