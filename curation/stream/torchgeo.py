"""Samples as torchgeo's own datasets give them: a dict per index, with its keys; `plot` draws one. Without torchgeo, too.

`image` (float32), `mask` (int64) where a class map is named, `label` where there is a target or are scene labels, `bbox` and
`crs` of the footprint, and `key`: what torchgeo's transforms, samplers by index and trainers take. It has no key for what a
sample lacks: those that lack one of the arrays are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.format.index import Index
from curation.format.names import LABEL
from curation.stream.open import open_shards
from curation.stream.opening import OpenSplit, holding, known_columns, open_split, rows_having, sample_columns
from curation.stream.resample import Upsample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RGB = ("red", "green", "blue")


class GeoSamples(Dataset[dict[str, Any]]):
    """One season of a split, as a map: `len(samples)`, `samples[0]["image"]`, `samples.plot(samples[0])`.

    >>> train = GeoSamples("shards/ssl4eo-s12-ml", "train", ["s2l2a_10m", "s2l2a_20m"], mask="worldcover_10m")
    """

    def __init__(
        self,
        shards: str | Path,
        split: str,
        arrays: Sequence[str],
        *,
        season: str | None = None,
        mask: str | None = None,
        upsample: Upsample = "bilinear",
        normalize: bool = False,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        **opening: Any,
    ) -> None:
        """Opens a split.

        Args:
            shards: a folder or URL.
            split: its name.
            arrays: which make the image, in order: their bands are its channels.
            season: which one; the first of the dataset where None.
            mask: the class map that is to be told, codes as they are.
            upsample: how arrays of coarser pixels come to the grid of the finest.
            normalize: by the statistics of train.
            transforms: of a sample, as torchgeo has them.
            opening: what else `open_shards` is told.

        Raises:
            ConfigError: there is no such split, array or season, an array makes no plane of an image, or no sample has all.
        """
        names = [*arrays, *([mask] if mask else [])]
        opened = open_split(shards, split)
        self.index, seasons = opened.index, opened.index.seasons
        self.season = season or (seasons[0] if seasons else None)
        _check(self.index, names, self.season)
        how: dict[str, Any] = {
            "fields": names,
            "seasons": [self.season] if self.season else None,
            "normalize": normalize,
        }
        self.arrays, self.mask, self.transforms = tuple(arrays), mask, transforms
        dataset = open_shards(shards, split, upsample=upsample, **how, **opening)
        self.samples = dataset.by_id()
        self.rows = _rows(opened, names, self.season, dataset.wanted)
        """Of those in `samples` that have each of the arrays, and what is required beside, in order."""
        self._boxes = _boxes(opened)
        self._labels = _labels(opened, self.season)

    @property
    def all_bands(self) -> tuple[str, ...]:
        """Names of the channels of `image`, in order."""
        return tuple(b for name in self.arrays for b in self.index.arrays[name].bands)

    def __len__(self) -> int:
        return int(self.rows.size)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A sample, by its place among `rows`: see the module's words; and IndexError beyond the last."""
        read = self.samples[int(self.rows[index])]
        out: dict[str, Any] = {"image": torch.cat([self._plane(read, n).float() for n in self.arrays])}
        if self.mask is not None:
            out["mask"] = self._plane(read, self.mask)[0].long()
        if (label := self._label(read)) is not None:
            out["label"] = label
        out |= {"bbox": torch.tensor(self._boxes[read["key"]]), "crs": "EPSG:4326", "key": read["key"]}
        return out if self.transforms is None else self.transforms(out)

    def _plane(self, read: dict[str, Any], name: str) -> torch.Tensor:
        """(band, y, x) of an array."""
        pixels: torch.Tensor = read[name]
        return pixels if self.index.arrays[name].is_static else pixels[0]

    def _label(self, read: dict[str, Any]) -> Any:
        """The target (-1, or NaN of numbers, where it is unknown); else scene labels as 0 and 1, NaN where nobody knows."""
        if LABEL in read:
            return torch.tensor(read[LABEL])
        if self._labels is None:
            return None
        labels: torch.Tensor = read[self._labels]
        return labels[0] if self._labels == "labels" else labels

    def plot(self, sample: dict[str, Any], show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """The image of a sample, in true colour where it has such bands, beside its mask.

        Args:
            sample: as `[…]` gives it.
            show_titles: whether each panel has a title.
            suptitle: of the figure.
        """
        from matplotlib.figure import Figure

        image, panels = sample["image"], 1 + ("mask" in sample)
        figure = Figure(figsize=(4 * panels, 4))
        axes = figure.subplots(1, panels, squeeze=False)[0]
        axes[0].imshow(_stretched(image[self._shown()]).permute(1, 2, 0).numpy())
        if "mask" in sample:
            axes[1].imshow(sample["mask"].numpy(), interpolation="none")
        for axis, title in zip(axes, ("image", "mask"), strict=False):
            axis.axis("off")
            if show_titles:
                axis.set_title(title)
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure

    def _shown(self) -> list[int]:
        """Which three channels are drawn."""
        canonical = [b for name in self.arrays for b in (self.index.arrays[name].canonical or ())]
        commons = [b.common_name for b in canonical]
        if set(RGB) <= set(commons):
            return [commons.index(c) for c in RGB]
        return [0, min(1, len(self.all_bands) - 1), len(self.all_bands) - 1]


def _stretched(image: torch.Tensor) -> torch.Tensor:
    """From 0 to 1, between the 2nd and the 98th percentile of what is finite."""
    values = image.numpy()
    low, high = np.percentile(values[np.isfinite(values)], (2, 98)) if np.isfinite(values).any() else (0.0, 1.0)
    return ((image - low) / max(high - low, 1e-6)).clamp(0, 1).nan_to_num(0)


def _check(index: Index, names: Sequence[str], season: str | None) -> None:
    """Passes where each of the arrays makes planes of that season. Raises ConfigError where not."""
    known = index.arrays
    if season is not None and season not in index.seasons:
        raise ConfigError(f"GeoSamples: no season {season!r}; known: {', '.join(index.seasons)}")
    for name in names:
        if name not in known:
            raise ConfigError(f"GeoSamples: no array {name!r}; {did_you_mean(name, known)}known: {', '.join(known)}")
        entry = known[name]
        if not entry.is_static and season not in entry.seasons:
            raise ConfigError(f"GeoSamples: {name} has no season {season!r}; it has: {', '.join(entry.seasons)}")
        if entry.of_children or entry.steps is not None:
            raise ConfigError(f"GeoSamples: {name} is of children or of several times, expected one image: open_shards")


def _rows(opened: OpenSplit, names: Sequence[str], season: str | None, wanted: Mapping[str, int]) -> NDArray[np.int64]:
    """Rows of the samples that have each of the arrays, ascending: int64. Raises ConfigError where none has."""
    there = np.isin(np.arange(opened.entry.samples), holding(opened, wanted).rows)
    for name in names:
        its = rows_having(opened, name, None if opened.index.arrays[name].is_static else season)
        there &= np.isin(np.arange(there.size), its)
    if not there.any():
        raise ConfigError(f"GeoSamples: no sample of {opened.split!r} has all of {', '.join(names)}: ask for less")
    return np.flatnonzero(there)


def _boxes(opened: OpenSplit) -> dict[str, list[float]]:
    """Id → west, south, east, north of the footprint, degrees."""
    import shapely

    table, _ = sample_columns(opened, ["id", "geometry"])
    bounds = shapely.bounds(shapely.from_wkb(table["geometry"].to_numpy())).tolist()
    return dict(zip(table["id"].to_pylist(), bounds, strict=True))


def _labels(opened: OpenSplit, season: str | None) -> str | None:
    """Which entry has the scene labels: of the season where they are known of any sample, else of the annual map."""
    if not opened.index.label_names:
        return None
    column = f"labels_{season}"
    table = known_columns(opened, [column])
    is_known = season is not None and column in table.column_names and table[column].null_count < len(table)
    return "labels" if is_known else "annual_labels"
