"""The step that makes features of a packed dataset, part of what `curation.load` gives, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curation.api.results import Result, Rows
from curation.api.steps import Steps, naming, path_of
from curation.errors.words import counted
from curation.store.objects import Store
from curation.work import telling

if TYPE_CHECKING:  # what makes features wants much
    from curation.worth.features.making import MadeFeatures


@dataclass(frozen=True, slots=True, repr=False)
class EmbedResult(Result):
    """Features that are there."""

    found: MadeFeatures
    copied: str = ""
    """Where else the table was written."""

    def rows(self) -> Rows:
        """What is known of them."""
        its = self.found.features
        skipped = [(f"without a row: {why}", str(n)) for why, n in its.skipped.items()]
        places = str(len(set(its.places.tolist())))
        return [
            ("embedding", f"{its.name} {its.digest[:12]}"),
            ("numbers", str(its.values.shape[1])),
            ("rows", f"{len(its)} of {counted(int(places), 'place')}"),
            *skipped,
        ]

    def lines(self) -> list[str]:
        """The rows, and where the table is."""
        width = max(len(a) for a, _ in self.rows())
        return [*(f"{a:{width}}  {b}" for a, b in self.rows()), *self.notes()]

    def notes(self) -> list[str]:
        """Where the table is."""
        its = f"{'there already: ' if self.found.reused else 'written to '}{self.found.where}"
        return [its, *([f"and to {self.copied}"] if self.copied else [])]


class EmbedSteps(Steps):
    """What `curate embed` does."""

    __slots__ = ()

    @telling.shown()
    def embed(
        self,
        way: str = "handmade",
        *,
        arrays: Sequence[str] | None = None,
        limit: int | None = None,
        seed: int = 0,
        run_code: bool = False,
        to: str | Path | None = None,
    ) -> EmbedResult:
        """Makes features of what is packed, a row per sample and season, and keeps them in the dataset's folder.

            made.embed().found.features.values      # (N, D) float32

        Args:
            way: `handmade`, `convolutions`, `file.py:function`, or a Parquet file of key, season and vector.
            arrays: of which; all data with seasons where left out.
            limit: of each split only the first so many samples.
            seed: of random filters.
            run_code: execute the file that `way` names.
            to: also write the table there, beside a recipe whose `[annotations]` name it.

        Raises:
            ConfigError: nothing is packed, or there is no such way or array.
            DamageError: what is packed is not what was recorded.
            ReadError: the function failed.
        """
        from curation.worth.features import making

        its, store = making.way_of(way, seed=seed, run_code=run_code), self.store
        with naming("--root", store.where("")):
            store.check_writable()
        path = path_of(to)
        target = None if path is None else Store(path.absolute().parent)
        with naming("--to", to or ""):
            if target is not None:
                target.check_writable()
        found = making.made(store, its, arrays=arrays, limit=limit, scheduler=self.scheduler, workers=self.workers)
        if target is None or path is None:
            return EmbedResult(found)
        target.publish(path.name, found.features.to_bytes())
        return EmbedResult(found, str(path))
