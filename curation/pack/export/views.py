"""A view: a second packing of a dataset's samples, as images with texts, for trainers that read nothing else.

```
train-000000.tar …         a key per sample, the same as in the shards; which members, the view's file in `forms/` says
sizes.json                 {tar: how many samples it holds}
view.json                  how images were made, of which shards, what was dropped and why
tars/train/00000.json …    the same of the tars of each shard
```
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError, CurationError, DamageError
from curation.errors.codes import Code
from curation.errors.words import did_you_mean
from curation.format import payload
from curation.format.annotations import AnnotationEntry, json_bytes
from curation.format.index import ArrayEntry, Index
from curation.format.names import split_member
from curation.format.tar import Sample, write_view
from curation.pack.captions.owed import owed, with_owed
from curation.pack.export import captions, limits, seasons
from curation.pack.export.captions import Captions
from curation.pack.export.of_shards import ShardPiece, ShardSample
from curation.pack.export.pieces import ExportScope, Form
from curation.pack.export.rendering import Rendering, ViewChannel, channels_of, unit_of
from curation.recipe import synthetic
from curation.store import paths
from curation.store.objects import Store

FORMAT = 1
"""Of `view.json`."""

Arrays = Mapping[str, ArrayEntry]


@dataclass(frozen=True, slots=True)
class ViewWish:
    """What somebody asks of a view beside which samples. None, and nothing, is the view's own choice."""

    source: str | None = None
    season: str | None = None
    bands: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    """`LOW:HIGH`, once or of each channel; without, `percentiles` are measured."""
    percentiles: tuple[float, float] = (2.0, 98.0)
    gamma: float = 1.0
    image: str = "jpg"
    """Of pictures: `jpg`, `png` or `webp`."""
    caption: str | None = None
    """Annotation that has the texts."""
    least_valid: float = 0.95
    """Share of an image's pixels that must have data."""
    per_tar: int | None = None
    """Samples of a tar at most; None: a tar per shard."""

    def __post_init__(self) -> None:
        """Raises ConfigError where it cannot be."""
        first, last = self.percentiles
        if not 0 <= first < last <= 100:
            raise ConfigError(f"--percentiles {first:g},{last:g}: expected two of 0 to 100, the lower one first")
        if not 0 < self.gamma <= 10:
            raise ConfigError(f"--gamma {self.gamma:g}: expected above 0, to 10")
        if not 0 < self.least_valid <= 1:
            raise ConfigError(f"--least-valid {self.least_valid:g}: expected above 0, to 1")
        if self.per_tar is not None and self.per_tar < 1:
            raise ConfigError(f"--per-tar {self.per_tar}: expected a whole number from 1 on")


@dataclass(frozen=True, slots=True)
class ViewPiece:
    """The samples of a shard that go into a view's tars."""

    shard: ShardPiece
    rendering: Rendering
    caption: str
    least_valid: float
    per_tar: int
    first: int
    """Number of its first tar, among those of the split."""
    label_names: tuple[str, ...]
    licence: str
    encoder: tuple[str, ...]
    """Versions of what encodes images."""

    @property
    def name(self) -> str:
        """That of the shard's piece."""
        return self.shard.name

    @property
    def count(self) -> int:
        """Samples, those that will be dropped among them."""
        return self.shard.count

    @property
    def tars(self) -> int:
        """How many it comes to where nothing is dropped."""
        return math.ceil(self.count / self.per_tar)

    @property
    def follows_from(self) -> Any:
        """What the shard's piece does, and all else of this one."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("shard", "rendering")}
        return [self.shard.follows_from, self.rendering.to_json(), own]

    @property
    def arrays(self) -> Arrays:
        """Those that images are made of."""
        return {name: self.shard.arrays[name] for name in self.rendering.arrays}

    @property
    def annotation(self) -> AnnotationEntry:
        """The entry of what has the texts."""
        return self.shard.annotations[self.caption]


@dataclass(frozen=True, slots=True)
class ViewScope:
    """What the pieces of a view share."""

    index: Index
    to: Store
    rendering: Rendering
    caption: str
    licence: str
    """Of pixels, with whom to name for what texts tell."""


@dataclass(frozen=True, slots=True)
class ViewImage:
    """The image of a sample before it is encoded."""

    unit: NDArray[np.float64]
    """(channel, y, x), 0 to 1; 0 without data."""
    valid: NDArray[np.bool_]
    """(y, x)."""

    @property
    def valid_fraction(self) -> float:
        """Share of pixels that have data."""
        return float(self.valid.mean())


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a sample is in no tar."""

    code: Code
    value: float | None = None


class View(Form):
    """A form of images with texts. It has a `wish`."""

    of_shards: ClassVar[bool] = True
    noun: ClassVar[str] = "sample"
    pixels: ClassVar[str]
    """What becomes of values, in words, for `view.json`."""
    wish: ViewWish

    @abstractmethod
    def bands(self, arrays: Arrays) -> Sequence[str]:
        """The bands of a source that are taken where none are named; none where it has no such."""

    @abstractmethod
    def members(self, image: ViewImage, texts: Captions, facts: Mapping[str, Any]) -> Mapping[str, bytes]:
        """Suffix → payload of a sample, in order; `facts` is what `view_facts` says of it."""

    @abstractmethod
    def wavelengths_um(self, rendering: Rendering) -> list[float | None]:
        """Of each channel, micrometres; None where it has none.

        Raises:
            ConfigError: the view cannot do without one.
        """

    @property
    def settings(self) -> Mapping[str, Any]:
        """The wish."""
        return json.loads(json.dumps(dataclasses.asdict(self.wish)))  # type: ignore[no-any-return]

    @property
    def encoder(self) -> tuple[str, ...]:
        """Versions of what encodes images."""
        return ()

    def prepared(self, asked: ExportScope, store: Store, to: Store) -> ExportScope:
        """What is asked for, with how its images are made.

        Raises:
            ConfigError: no source has such bands, or samples no texts.
        """
        index, shards = asked.beside, store.child(paths.SHARDS)
        caption = captions.named(index.annotations, self.wish.caption)
        rendering = self.rendering(index, shards)
        self.wavelengths_um(rendering)
        terms = owed(index, {caption}, domains=False)
        made = synthetic.about({k: v for k, v in index.counts.get("catalogs", {}).items() if k == rendering.source})
        licence = " ".join(filter(None, [made, with_owed(index.sources[rendering.source].licence, terms)]))
        pieces, first = [], Counter[str]()
        for shard in asked.pieces:
            per_tar = self.wish.per_tar or shard.entry.samples
            piece = ViewPiece(
                shard, rendering, caption, self.wish.least_valid, per_tar, first[shard.split], index.label_names, licence,
                self.encoder,
            )  # fmt: skip
            first[shard.split] += piece.tars
            pieces.append(piece)
        return ExportScope(asked.dataset, tuple(pieces), ViewScope(index, to, rendering, caption, licence), terms)

    def rendering(self, index: Index, shards: Store) -> Rendering:
        """How images are made of a dataset: of whichever samples, the same."""
        sampled = limits.Sampled.of(shards, index)
        source, channels = self.channels(index)
        made = Rendering(source, None, channels, self.wish.gamma)
        made = seasons.of_one(sampled, made, self.wish.season, self.wish.percentiles)
        if self.wish.limits:
            made = dataclasses.replace(made, channels=limits.spoken(self.wish.limits, made.channels))
            limits.check(sampled, made)
            return made
        return dataclasses.replace(made, channels=limits.measured(sampled, made, self.wish.percentiles))

    def channels(self, index: Index) -> tuple[str, tuple[ViewChannel, ...]]:
        """The source that images are of, the first that has the bands, and its channels, without limits.

        Raises:
            ConfigError: no source has such bands.
        """
        known = sorted({a.source for a in index.arrays.values() if _arrays(index, a.source)}, key=_optical_first(index))
        if self.wish.source is not None and self.wish.source not in known:
            raise ConfigError(
                f"--source {self.wish.source}: {did_you_mean(self.wish.source, known)}images may be of: {', '.join(known)}"
            )
        faults: list[ConfigError] = []
        for source in [self.wish.source] if self.wish.source else known:
            arrays = _arrays(index, source)
            try:
                if bands := self.bands(arrays):
                    return source, channels_of(bands, arrays)
            except ConfigError as err:
                faults.append(err)
        if len(faults) == 1 or (faults and not self.wish.source):
            raise faults[0]
        raise ConfigError(
            f"{self.wish.source or 'no source of ' + ', '.join(known)}: has no bands that make an image by default: name a "
            "--source and its --bands"
        )

    def expected(self, piece: ViewPiece) -> tuple[int, int]:
        """Its tars, and what is known of them; bytes of pixels as they are read."""
        return piece.tars + 1, piece.count * sum(a.room for a in piece.arrays.values())

    def files(self, piece: ViewPiece) -> Iterator[tuple[str, bytes]]:
        """Its tars, of those that have a sample, and what is known of them."""
        tars: dict[str, Any] = {}
        dropped: dict[str, dict[str, float | None]] = {}
        samples = piece.shard.samples()
        for number in range(piece.first, piece.first + piece.tars):
            made = []
            for sample in itertools.islice(samples, piece.per_tar):
                found = self._sample(piece, sample)
                if isinstance(found, Refused):
                    dropped.setdefault(found.code, {})[sample.key] = found.value
                else:
                    made.append(found)
            if made:
                name, data = f"{piece.shard.split}-{number:06d}.tar", write_view(made)
                yield name, data
                its = {"samples": len(made), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                tars[name] = its | {"shard": piece.shard.entry.name}
        yield paths.view_tars(piece.name), json_bytes({"split": piece.shard.split, "tars": tars, "dropped": dropped})

    def _sample(self, piece: ViewPiece, sample: ShardSample) -> Sample | Refused:
        """A sample as the view has it."""
        where = f"{piece.shard.store.where(piece.shard.entry.name)}: {sample.key}"
        texts = _texts(piece, sample, where)
        if texts is None:
            return Refused(Code.NO_CAPTION)
        image = _image(piece, sample, where)
        if image is None:
            return Refused(Code.NO_IMAGE)
        if image.valid_fraction < piece.least_valid:
            return Refused(Code.FEW_VALID, round(image.valid_fraction, 4))
        facts = view_facts(piece, json.loads(sample.meta), texts, image, self.wavelengths_um(piece.rendering))
        return Sample(sample.key, self.members(image, texts, facts))

    def last_count(self, asked: ExportScope) -> int:
        """Two."""
        return 2

    def last(self, asked: ExportScope, written: Sequence[Sequence[str]]) -> Mapping[str, bytes]:
        """How many samples each tar has, and the index of the view.

        Raises:
            CurationError: each sample was dropped.
        """
        scope: ViewScope = asked.beside
        parts = [json.loads(scope.to.get(key)) for keys in written for key in keys if paths.is_view_tars(key)]
        sizes = {name: its["samples"] for part in parts for name, its in part["tars"].items()}
        value = self._index(scope, asked.pieces, parts)
        if not sizes:
            reasons = ", ".join(f"{code} {len(its)}" for code, its in value["dropped"].items())
            raise CurationError(f"{scope.to.where('')}: no sample makes a pair of image and text: {reasons}")
        value["sha256"] = hashlib.sha256(json_bytes(value)).hexdigest()
        return {paths.VIEW_SIZES: _json(dict(sorted(sizes.items()))), paths.VIEW: _json(value)}

    def _index(
        self, scope: ViewScope, pieces: Sequence[ViewPiece], parts: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        index, rendering = scope.index, scope.rendering
        dropped: dict[str, dict[str, float | None]] = {}
        splits: dict[str, dict[str, Any]] = {}
        for part in parts:
            its = splits.setdefault(part["split"], {"samples": 0, "dropped": {}, "urls": "", "tars": {}})
            its["tars"] |= part["tars"]
            its["samples"] += sum(t["samples"] for t in part["tars"].values())
            for code, keys in part["dropped"].items():
                dropped.setdefault(code, {}).update(keys)
                its["dropped"][code] = its["dropped"].get(code, 0) + len(keys)
        for split, its in splits.items():
            its["urls"] = urls(split, sorted(its["tars"]))
        return {
            "format": FORMAT,
            "view": self.name,
            "dataset": index.dataset,
            "title": index.title,
            "of": {
                "content_sha256": index.content_sha256,
                "pixels_digest": index.pixels_digest,
                "release_digest": index.release_digest,
                "shards": {p.shard.entry.name: p.shard.entry.sha256 for p in pieces},
            },
            "rendering": rendering.to_json()
            | {
                "limits": "as stated" if self.wish.limits else self._measured(index),
                "unit": unit_of(index.arrays[rendering.channels[0].array]),
                "wavelengths_um": self.wavelengths_um(rendering),
                "pixels": self.pixels,
                "least_valid_fraction": self.wish.least_valid,
            },
            "caption": scope.caption,
            "licence": scope.licence,
            "splits": splits,
            "dropped": dropped,
        }

    def _measured(self, index: Index) -> str:
        return f"percentiles {list(self.wish.percentiles)} of {limits.split_of(index)}"


def _arrays(index: Index, source: str) -> dict[str, ArrayEntry]:
    """Arrays of a source that images can be made of."""
    return {
        name: entry
        for name, entry in index.arrays.items()
        if entry.source == source and entry.role == "data" and not entry.of_children and entry.steps is None
    }


def _optical_first(index: Index) -> Callable[[str], tuple[bool, str]]:
    """Orders sources: what sees light before what does not."""
    optical = {a.source for a in index.arrays.values() if any(band.is_optical for band in a.canonical)}
    return lambda source: (source not in optical, source)


def _texts(piece: ViewPiece, sample: ShardSample, where: str) -> Captions | None:
    member = f"{piece.caption}.{piece.annotation.encoding}"
    data = sample.members.get(member)
    if data is None:
        return None
    return captions.of_member(piece.caption, piece.annotation, data, f"{where}.{member}", piece.rendering.season)


def _image(piece: ViewPiece, sample: ShardSample, where: str) -> ViewImage | None:
    """The image of a sample; None where it lacks an array."""
    pixels: dict[str, NDArray[Any]] = {}
    for name, entry in piece.arrays.items():
        member = limits.member_of(name, entry, piece.rendering.season)
        if member not in sample.members:
            return None
        found = payload.decode(sample.members[member], split_member(member).encoding, f"{where}.{member}")
        if found.shape != entry.shape:
            raise DamageError(f"{where}.{member}: is {found.shape}, the index says {entry.shape}; pack again")
        pixels[name] = found
    values, valid = piece.rendering.values(pixels, piece.arrays)
    return ViewImage(piece.rendering.unit(values, valid), valid)


def view_facts(
    piece: ViewPiece, meta: Mapping[str, Any], texts: Captions, image: ViewImage, wavelengths_um: Sequence[float | None]
) -> dict[str, Any]:
    """What a view says of a sample beside its image: where and when it is, what is on it, and what is said of it."""
    season, source = piece.rendering.season, piece.rendering.source
    its = meta["static"] if season is None else meta["seasons"][season]
    of_labels = [(season or "static", its.get("labels")), ("static", meta["static"].get("labels"))]
    known = next(((n, labels["fractions"]) for n, labels in of_labels if labels and labels["fractions"]), None)
    return {
        "id": meta["id"],
        "captions": list(texts.texts),
        "caption_sources": list(texts.sources),
        "lon": meta["lon"],
        "lat": meta["lat"],
        "datetime": its["sources"].get(source, {}).get("time"),
        "season": season,
        "split": meta["split"],
        "fractions": dict(zip(piece.label_names, known[1], strict=True)) if known else {},
        "fractions_of": known[0] if known else None,
        "valid_fraction": round(image.valid_fraction, 4),
        "bands": ["-".join(b.name for b in c.bands) for c in piece.rendering.channels],
        "wavelengths": list(wavelengths_um),
        "licence": piece.licence,
    }


def urls(split: str, tars: Sequence[str]) -> str:
    """Tars of a split as trainers are told of them: runs in braces, joined by `::`."""
    numbers = [int(name.removeprefix(f"{split}-").removesuffix(".tar")) for name in tars]
    runs = [[n for _, n in run] for _, run in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return "::".join(
        f"{split}-{r[0]:06d}.tar" if len(r) == 1 else f"{split}-{{{r[0]:06d}..{r[-1]:06d}}}.tar" for r in runs
    )


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
