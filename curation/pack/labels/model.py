"""Dynamic World's labels by a model that somebody gives: its input made of stored pixels, its output as class maps.

The published model is a TensorFlow SavedModel (github.com/google/dynamicworld, `model/forward`, Apache-2.0); what runs here
is that, or another for the same input, as ONNX or TorchScript. **A model file is a program**: it is named by who runs the
command and by nobody else, and what workers execute are the very bytes that were hashed then: all of it is in that one file.

The input is as the repository's `single_image_runner.ipynb` makes it: nine bands of L1C without the +1000 offset, bilinear
to 10 m, `log(DN × 0.005 + 1)`, minus the first constant of the band, by its second, and `sigmoid(5x - 1)`. The output is
nine logits per pixel, in the order of the legend; the greatest is the label. Cloud masking is no part of the model: what the
recipe's mask calls cloud, shadow or no pixel, and what is missing in any band, is nodata.

Patches are given to the model alone: within its reach of a patch's side it sees no neighbours, as it would in a whole
image, and bilinear interpolation repeats the outermost coarse pixel.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.cubes.cube import Cube
from curation.errors import ConfigError, ReadError
from curation.errors.codes import Code
from curation.errors.printable import printable
from curation.outcomes import Reject, Status
from curation.pack.labels.making import MapsJob, MapsPlan, Wanted
from curation.pack.labels.mapfile import file_name
from curation.read import radiometry, runtimes
from curation.recipe import modelfiles
from curation.recipe.arrays import ArraySpec
from curation.recipe.dataset import Dataset
from curation.recipe.digests import digest
from curation.recipe.sources import SourceSpec
from curation.store import local, paths
from curation.work.progress import shown_bytes

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
"""Of the model's input, in order; as Sentinel-2's sources call them."""

CONSTANTS = (
    (1.7417, 2.0233),
    (1.7261, 2.0389),
    (1.6798, 2.1796),
    (1.7735, 2.2890),
    (2.2892, 2.6172),
    (2.3829, 2.7734),
    (2.3829, 2.7578),
    (2.1952, 2.7891),
    (1.5548, 2.4141),
)
"""Of each band what is taken off its logarithm, and what it is divided by: `NORM_PERCENTILES` of the notebook, **rounded to
four digits**, which is all that was at hand. The exact ones can be given (`constants_of`)."""

SCALE = 0.005
"""By which digital numbers are multiplied before the logarithm (the notebook)."""

RES_M = 10.0
"""Of the model's pixels."""

PREPARED = 1
"""Of how the input is made: other numbers make other maps."""


def prepared(dn: NDArray[Any], constants: Sequence[tuple[float, float]] = CONSTANTS) -> NDArray[np.float32]:
    """The model's input, (y, x, band) float32 in 0 to 1.

    Args:
        dn: digital numbers (band, y, x) of `BANDS` in order, without the offset.
        constants: of each band what is taken off and what is divided by.
    """
    first, second = (np.array(its)[:, None, None] for its in zip(*constants, strict=True))
    x = (np.log(dn.astype(np.float64) * SCALE + 1) - first) / second
    out: NDArray[np.float32] = np.moveaxis(1 / (1 + np.exp(1 - 5 * x)), 0, -1).astype(np.float32)
    return np.ascontiguousarray(out)


def bilinear(pixels: NDArray[Any], res_m: float, px: int) -> NDArray[np.float64]:
    """(..., px, px) at 10 m of pixels of another size, whose first corner is the same: bilinear between their centres.

    Beyond the outermost centres their values go on.
    """
    at = np.clip((np.arange(px) + 0.5) * RES_M / res_m - 0.5, 0, pixels.shape[-1] - 1)
    below = np.minimum(np.floor(at).astype(int), pixels.shape[-1] - 2) if pixels.shape[-1] > 1 else np.zeros(px, int)
    above = np.minimum(below + 1, pixels.shape[-1] - 1)
    part = at - below
    rows = pixels[..., below, :] * (1 - part)[:, None] + pixels[..., above, :] * part[:, None]
    out: NDArray[np.float64] = rows[..., below] * (1 - part) + rows[..., above] * part
    return out


def nearest(pixels: NDArray[Any], res_m: float, px: int) -> NDArray[Any]:
    """(..., px, px) at 10 m: of each the pixel that its centre lies in."""
    at = ((np.arange(px) + 0.5) * RES_M / res_m).astype(int)
    out: NDArray[Any] = pixels[..., at, :][..., at]
    return out


def at_10_m(pixels: NDArray[Any], array: ArraySpec, px: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Digital numbers (band, px, px), and where all that each follows from is there, (px, px)."""
    res_m = array.res_m or RES_M
    there = bilinear((pixels != array.nodata).astype(np.float64), res_m, px)
    valid: NDArray[np.bool_] = np.asarray((there > 1 - 1e-9).all(axis=0))
    return bilinear(pixels.astype(np.float64), res_m, px), valid


@dataclass(frozen=True, slots=True)
class ByModel:
    """Maps by a model."""

    name: str
    """Of its file, for people."""
    sha256: str
    """Of its file."""
    source: str
    """Whose bands it is given."""
    follows: str
    """Whose mask says what is cloud."""
    constants: tuple[tuple[float, float], ...]
    legend: str
    """Digest of the classes that codes are read by."""
    at_once: int = 1

    def check_there(self) -> None:
        """It is: nobody else is asked."""

    def shared(self, workers: int) -> ByModel:
        """The same, for each of so many workers."""
        return self

    def costs(self, plan: MapsPlan) -> tuple[str, ...]:
        """What it would write."""
        return (f"writes {shown_bytes(plan.raw_bytes)} of pixels before packing",)

    @property
    def key(self) -> str:
        """All that its maps follow from beside pixels."""
        parts = [self.sha256, self.source, self.follows, self.constants, self.legend, PREPARED]
        return f"model-{digest(parts)[:16]}"

    @property
    def title(self) -> str:
        """For a person."""
        return f"model {self.name}"

    @property
    def made_by(self) -> str:
        """The model, and what it is given."""
        preparation = digest([self.constants, PREPARED])[:16]
        return f"model sha256 {self.sha256}, of {self.source} prepared by {preparation}, masked by {self.follows}"

    def input_digest(self, dataset: Dataset, chunks: Mapping[str, str]) -> str:
        """Digest of the chunks that it is given or masked by, of their form, and of what the mask's codes mean."""
        spec, mask = dataset.specs[self.follows], mask_of(dataset, self.follows)
        used = {**chosen(dataset, self.source), mask[0]: mask[1]}
        parts = {name: [chunks.get(name), a.model_dump(mode="json")] for name, a in used.items()}
        return digest([parts, *map(sorted, (spec.clear, spec.doubtful, spec.snow))])

    def image(self, wanted: Sequence[Wanted]) -> str:
        """The scene's own id."""
        return file_name(wanted[0].scene)

    def is_of(self, name: str, wanted: Wanted) -> bool:
        """Whether a map has the scene's id."""
        return name == file_name(wanted.scene)

    def pixels(self, job: MapsJob, wanted: Wanted, image: str) -> NDArray[np.uint8]:
        """What the model makes of the patch's stored pixels, each chunk checked against the ledger.

        Raises:
            Reject: `no_scene`: the patch has no pixels of the source.
            DamageError: what is stored is not what was recorded.
            ReadError: the model gives what is no label.
        """
        cube = Cube(job.dataset.level_of(job.folder), paths.region_of(job.folder), job.season)
        px = job.array.px(wanted.place.size_m)
        bands: dict[str, NDArray[np.float64]] = {}
        there = np.ones((px, px), bool)
        for name, array in chosen(cube.dataset, self.source).items():
            planes = [i for i, band in enumerate(array.bands) if band in BANDS]
            if name not in wanted.chunks:
                raise Reject(Code.NO_SCENE, status=Status.ABSENT)
            stored = cube.read_chunk(job.store, name, wanted.number, wanted.chunks[name])
            found, valid = at_10_m(stored[planes], array, px)
            bands |= {array.bands[i]: plane for i, plane in zip(planes, found, strict=True)}
            there &= valid
        spec = cube.dataset.specs[self.follows]
        name, array = mask_of(cube.dataset, self.follows)
        codes = nearest(
            cube.read_chunk(job.store, name, wanted.number, wanted.chunks[name])[0], array.res_m or RES_M, px
        )
        there &= np.isin(codes, [*spec.clear, *spec.doubtful, *spec.snow])
        key, classes = paths.maps_model(self.key), len(job.spec.kind.legend)
        made = runtimes.loaded(job.store, key, self.sha256, self.name, px, len(BANDS), classes)
        logits = made(prepared(np.stack([bands[b] for b in BANDS]), self.constants))
        if not np.isfinite(logits[there]).all():
            raise ReadError(f"{self.title}: gives NaN or infinity for pixels that are there")
        legend = np.array([c.code for c in job.spec.kind.legend], np.uint8)
        return np.where(there, legend[logits.argmax(axis=-1)], np.uint8(job.array.nodata))


def of(
    dataset: Dataset, labels: str, legend: str, path: Path, source: str | None, constants: Path | None, *, dry: bool
) -> tuple[ByModel, bytes]:
    """A model for the labels of a recipe, asked once whether it is one; and the bytes of its file.

    Args:
        dataset: the recipe.
        labels: the source that its maps stand in for.
        legend: digest of that's classes.
        path: of the model: `.onnx`, or TorchScript (`.pt`, `.pth`, `.ts`).
        source: whose nine bands it is given; one that goes with the same other as the labels, or that itself. Where left
            out the one that goes with it, has them, and is no other labels': level 1C, as the published model wants.
        constants: a file of exact constants (`constants_of`).
        dry: it is not asked, since that executes it.

    Raises:
        ConfigError: it is no such model, or the recipe makes no such source.
    """
    where = f"model {printable(str(path))}"
    modelfiles.runtime_of(path.name, where)
    local.check(path, where, modelfiles.MOST_BYTES)
    follows = dataset.specs[labels].pick.follows or ""
    source = source or _usual(dataset, follows)
    check_source(dataset, source, follows)
    data = path.read_bytes()
    made = ByModel(path.name, hashlib.sha256(data).hexdigest(), source, follows, constants_of(constants), legend)
    array = next(iter(dataset.arrays[labels].values()))
    if array.res_m != RES_M:
        raise ConfigError(f"source {labels!r}: has pixels of {array.label}, expected {RES_M:g} m: the model's are")
    if not dry:
        runtimes.answering(
            runtimes.run_of(data, path.name, where),
            array.px(dataset.recipe.grid.size),
            len(BANDS),
            _classes(dataset, labels),
            where,
        )
    return made, data


def _usual(dataset: Dataset, follows: str) -> str:
    """The source of a recipe that has the model's bands and is of the acquisition of another.

    Raises:
        ConfigError: there is none, or several are.
    """
    having = {n for n, by in dataset.arrays.items() if {*BANDS} <= {b for a in by.values() for b in a.bands}}
    found = [n for n, spec in dataset.specs.items() if spec.pick.follows == follows and n in having]
    if len(found) != 1:
        listed = ", ".join(found) or "none"
        raise ConfigError(
            f"{dataset.path}: of the sources that go with {follows!r}, {listed} has the nine bands that the model's input "
            "is made of (level 1C has: s2l1c = {} in [sources], and build); or name one with --source"
        )
    return found[0]


def check_source(dataset: Dataset, source: str, follows: str) -> None:
    """Passes where a recipe makes the nine bands, of the very acquisition whose labels are wanted, and its mask.

    Raises:
        ConfigError: it does not.
    """
    spec: SourceSpec | None = dataset.specs.get(source)
    if spec is None:
        raise ConfigError(
            f"{dataset.path}: makes no {source!r}, of whose bands the model's input is: say {source} = {{}} in [sources] "
            "and build; or name another with --source"
        )
    if source != follows and (spec.pick.follows != follows or spec.pick.has_own_time):
        raise ConfigError(
            f"source {source!r}: is not of the acquisition that labels are of, which is that of {follows!r}; name another "
            "with --source"
        )
    arrays = dataset.arrays[source].values()
    have = [b for a in arrays if a.is_data for b in a.bands]
    if lacking := [b for b in BANDS if b not in have]:
        raise ConfigError(f"{dataset.path}: {source!r} has no band {', '.join(lacking)}, which the model wants")
    native = {b: a.res_m or 0.0 for a in spec.arrays for b in a.bands}
    if coarse := [b for a in arrays for b in a.bands if b in BANDS and (a.res_m or np.inf) > native[b]]:
        raise ConfigError(
            f"{dataset.path}: [sources.{source}] has {', '.join(coarse)} in coarser pixels than the sensor's, of which the "
            "model's input cannot be made: leave res_m out, or say 10"
        )
    if odd := sorted({a.unit for a in arrays if a.is_data} - {radiometry.UNIT}):
        raise ConfigError(f"source {source!r}: is in {', '.join(odd)}, expected {radiometry.UNIT}")
    mask_of(dataset, follows)


def chosen(dataset: Dataset, source: str) -> dict[str, ArraySpec]:
    """The arrays of a source that have bands of the model's input."""
    return {n: a for n, a in dataset.arrays[source].items() if not a.is_mask and not set(BANDS).isdisjoint(a.bands)}


def mask_of(dataset: Dataset, source: str) -> tuple[str, ArraySpec]:
    """Name and spec of the array that says what is cloud. Raises ConfigError where there is none."""
    found = next(((n, a) for n, a in dataset.arrays.get(source, {}).items() if a.is_mask), None)
    if found is None:
        raise ConfigError(f"source {source!r}: has no mask, by which cloud is left out of labels")
    return found


def constants_of(path: Path | None) -> tuple[tuple[float, float], ...]:
    """The constants of a JSON file, nine pairs `[[first, second], …]` in the order of `BANDS`; those here where None.

    Raises:
        ConfigError: it holds no such pairs.
    """
    if path is None:
        return CONSTANTS
    where = f"constants {printable(str(path))}"
    local.check(path, where, 2**20)
    try:
        pairs = [(float(a), float(b)) for a, b in json.loads(path.read_bytes())]
    except (ValueError, TypeError, RecursionError) as err:
        raise ConfigError(f"{where}: expected nine pairs of numbers in JSON, [[1.7417, 2.0233], …]: {err}") from None
    if len(pairs) != len(BANDS) or not all(np.isfinite(p).all() and p[1] > 0 for p in pairs):
        raise ConfigError(f"{where}: {len(pairs)} pairs, expected {len(BANDS)} of finite numbers, the second above 0")
    return tuple(pairs)


def _classes(dataset: Dataset, labels: str) -> int:
    return len(dataset.specs[labels].kind.legend)
