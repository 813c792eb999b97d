"""The step that packs samples again as images with texts, part of what `curation.load` gives, and what it came to."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.api.results import Result
from curation.api.steps import Steps, naming
from curation.errors import ConfigError
from curation.errors.words import counted, did_you_mean
from curation.places.regions import ALL
from curation.store import paths
from curation.store.objects import Store
from curation.work import cluster, telling
from curation.work.progress import shown_bytes
from curation.work.run import Run

log = logging.getLogger(__name__)

READERS = 4
"""Workers that trainers have where nobody says otherwise: open_clip's default, on one device."""


@dataclass(frozen=True, slots=True, repr=False)
class ViewResult(Result):
    """Pairs of image and text that are there, each tar hashed; of a dry run those that would be at most."""

    name: str
    channels: Sequence[Mapping[str, Any]]
    """Of each image: name, bands, limits."""
    samples: Mapping[str, int]
    """By split."""
    tars: Mapping[str, int]
    """By split."""
    urls: Mapping[str, str]
    """By split, as a trainer is told of its tars."""
    dropped: Mapping[str, int]
    """By reason."""
    size: int
    """Bytes of all files; of a dry run those of the pixels that are read."""
    where: str
    """The folder; empty of a dry run."""
    season: str = ""
    """Whose images, and why; empty of what has no time."""

    def notes(self) -> list[str]:
        """How many, how they look, and where."""
        looks = ", ".join(f"{c['name']} {c['low']:g} to {c['high']:g}" for c in self.channels)
        counts = "; ".join(
            f"{split}: {counted(n, 'sample')} in {counted(self.tars[split], 'tar')}"
            for split, n in self.samples.items()
        )
        lines = [f"{self.name}: {counts}", *([f"season: {self.season}"] if self.season else []), f"channels: {looks}"]
        if not self.where:
            return [*lines, f"{shown_bytes(self.size)} of pixels to read; nothing is written"]
        why = ", ".join(f"{code} {n}" for code, n in self.dropped.items()) or "none"
        read = [f"{split}: {urls_in(self.where, urls)}" for split, urls in self.urls.items() if urls]
        return [*lines, f"dropped: {why}", f"{shown_bytes(self.size)} written; for a trainer:", *read]


def urls_in(folder: str, urls: str) -> str:
    """The tars of a view where they lie: each run of them in its folder."""
    return "::".join(f"{folder}/{run}" for run in urls.split("::"))


class ViewSteps(Steps):
    """What `curate view` does."""

    __slots__ = ()

    @telling.shown()
    def view(
        self,
        name: str,
        to: str | Path | None = None,
        region: str | Path = ALL,
        *,
        select: Sequence[str] = (),
        limit: int | None = None,
        readers: int = READERS,
        dry_run: bool = False,
        **how: Any,
    ) -> ViewResult:
        """Packs samples a second time, as images with texts, for trainers of image and text. A rerun goes on.

            made.view("clip", bands=("nir", "red", "green"), image="png")

        Args:
            name: `clip`, pictures as open_clip reads them; or `dofa-clip`, any number of bands with wavelengths.
            to: a folder or URL of its own; `<root>/<dataset>/<name>` where left out.
            region: of those that are packed: a name (several: `a+b`), a bbox or a file as it was built by, or `all`.
            select: conditions that all have to hold, on `split` and columns of the samples table (as of `export`).
            limit: only the first so many samples of each split.
            readers: workers times ranks that will read: it is warned of where a split has fewer tars.
            dry_run: only count, and measure limits; nothing is written.
            **how: what `ViewWish` of `curation.pack.export.views` has: `source`, `season`, `bands`, `limits`, `percentiles`,
                `gamma`, `image`, `caption`, `least_valid`, `per_tar`.

        Raises:
            ConfigError: there is no such view, samples have no such bands or no text, or the folder holds something else.
            DamageError: what is stored is not what was packed; all else is written.
        """
        from curation.pack.export import export as exporting
        from curation.pack.export import selecting
        from curation.pack.export.views import ViewWish

        form = _named(name)(ViewWish(**how))
        where = to or self.store.where(name)
        regions = None if region == ALL else tuple(r.name for r in self._asked(region))
        wish = exporting.Wish(regions, None, selecting.conditions(select), limit)
        with naming("--to", where):
            target = self.store.child(name) if to is None else Store(to)
            target.check_answers()
        plan = exporting.planned(self.dataset, self.store, form, wish, target)
        if dry_run:
            return _foreseen(name, plan, readers)
        with naming("--to", where):
            target.check_writable()
        with cluster.connect(self.scheduler, self.workers, target) as client:
            done = exporting.exported(plan, Run(self.dataset, self._catalogs(), self.store, client))
        return _result(name, json.loads(target.get(paths.VIEW)), done.size, target.where("").rstrip("/"), readers)


def _named(name: str) -> Any:
    """The form of a view."""
    from curation.pack.export.forms.clip import Clip
    from curation.pack.export.forms.dofa_clip import DofaClip

    known = {form.name: form for form in (Clip, DofaClip)}
    if name not in known:
        raise ConfigError(f"view {name}: no such view; {did_you_mean(name, known)}known: {', '.join(known)}")
    return known[name]


def _foreseen(name: str, plan: Any, readers: int) -> ViewResult:
    samples: dict[str, int] = {}
    tars: dict[str, int] = {}
    for piece in plan.asked.pieces:
        samples[piece.shard.split] = samples.get(piece.shard.split, 0) + piece.count
        tars[piece.shard.split] = tars.get(piece.shard.split, 0) + piece.tars
    _warn(tars, samples, readers)
    rendering = plan.asked.beside.rendering.to_json()
    return ViewResult(name, rendering["channels"], samples, tars, {}, {}, plan.expected[1], "", _season(rendering))


def _result(name: str, index: Mapping[str, Any], size: int, where: str, readers: int) -> ViewResult:
    splits = index["splits"]
    samples, tars = {s: its["samples"] for s, its in splits.items()}, {s: len(its["tars"]) for s, its in splits.items()}
    _warn(tars, samples, readers)
    dropped = {code: len(keys) for code, keys in index["dropped"].items()}
    urls = {split: its["urls"] for split, its in splits.items()}
    rendering = index["rendering"]
    return ViewResult(name, rendering["channels"], samples, tars, urls, dropped, size, where, _season(rendering))


def _season(rendering: Mapping[str, Any]) -> str:
    """Whose images they are, and why: of one that was chosen, how images look in each."""
    if rendering["season"] is None:
        return ""
    every = [f"{n} {_look(its)}" for n, its in sorted(rendering["seasons"].items())]
    return f"{rendering['season']}, {rendering['season_by']}" + (f": {', '.join(every)}" if every else "")


def _look(its: Mapping[str, Any]) -> str:
    bright = "no data" if its["brightness"] is None else f"{its['brightness']:.2f}"
    return f"{bright} of {counted(its['samples'], 'sample')}"


def _warn(tars: Mapping[str, int], samples: Mapping[str, int], readers: int) -> None:
    """Tells of splits whose tars do not go round: trainers deal out whole tars, and open_clip refuses fewer than readers."""
    for split, count in tars.items():
        if count < readers:
            log.warning(
                "view: %s has %s, and %d workers times ranks would read them: each wants one of its own, and open_clip "
                "trains on no fewer; say --per-tar %d, or --readers as many as will read",
                split,
                f"{count} tar" + "s" * (count != 1),
                readers,
                max(1, samples[split] // readers),
            )
