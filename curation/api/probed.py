"""The step that probes features of a dataset for its labels, part of what `curation.load` gives, and what it came to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.api.results import Result, Rows
from curation.api.steps import Steps, naming, path_of
from curation.store.objects import Store
from curation.work import telling

if TYPE_CHECKING:  # it wants scipy
    from curation.worth.probe.probing import ProbedDataset


@dataclass(frozen=True, slots=True, repr=False)
class ProbeResult(Result):
    """Scores of encoders, baselines and controls, with intervals over places."""

    found: ProbedDataset
    where: str
    """The file that has all of it as JSON; empty where none was asked for."""

    def rows(self) -> Rows:
        """A line per encoder and probe."""
        from curation.worth.probe import lines

        return lines.table(self.found.found)

    def lines(self) -> list[str]:
        """The table, and what is said beside it."""
        from curation.worth.probe import lines

        return [*lines.padded(self.rows()), *self.notes()]

    def notes(self) -> list[str]:
        """Of how many places all is, what is left out, and by how much encoders differ."""
        from curation.worth.probe import lines

        written = [f"written to {self.where}"] if self.where else []
        return [*lines.notes(self.found.found), *self.found.notes, *written]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values: each class, group and distance, too."""
        return self.found.to_json()


class ProbeSteps(Steps):
    """What `curate probe` does."""

    __slots__ = ()

    @telling.shown()
    def probe(
        self,
        *encoders: str,
        labels: str = "auto",
        probes: Sequence[str] = ("linear", "knn"),
        folds: int = 5,
        sides: tuple[str, str] | None = None,
        block_deg: float | None = None,
        seasons: Sequence[str] | None = None,
        by: Sequence[str] | None = None,
        arrays: Sequence[str] | None = None,
        places: int | None = None,
        draws: int = 1000,
        seed: int = 0,
        out: str | Path | None = None,
        run_code: bool = False,
    ) -> ProbeResult:
        """Tells what frozen features of the packed dataset know of its labels, beside what costs nothing.

            made.probe("encoders.py:mine", labels="seasonal", run_code=True)
            made.probe("vectors.parquet", sides=("train", "val")).to_json()

        Args:
            *encoders: `file.py:function`, or a Parquet table of vectors. Beside them: hand-made features, random
                convolutions, a control that knows place and season alone, and each with the labels of other places.
            labels: `labels`, `seasonal`, `annual`, `fractions`, `target`, or a column of the samples table; `auto`: the
                target where there is one, else labels.
            probes: `linear` (logistic regression, ridge of numbers), `knn`.
            folds: of whole blocks, each scored by what was fitted on the others.
            sides: instead of folds the sides of the split that are fitted on and scored.
            block_deg: side of a block; that of the recipe's `[domains]` where left out, or smaller where places lie near
                together.
            seasons: only rows of these.
            by: domains of which the worst group is told; `climate_zone` and `continent` where left out, and seasons.
            arrays: of which features are made; all data with seasons where left out.
            places: most places that are probed; 10,000 where left out.
            draws: of places, for intervals.
            seed: of all that is drawn.
            out: a file for all of it as JSON.
            run_code: whether code that is named may be executed.

        Raises:
            ConfigError: nothing is packed, there is nothing such, or places are too few.
            DamageError: what is packed is not what was recorded.
            UnaskedCodeError: an encoder is code, and `run_code` is not said.
        """
        from curation.worth.probe import probing

        how = probing.ProbeOptions(
            labels,
            tuple(probes),  # type: ignore[arg-type]  # what is none of them is refused by name
            folds,
            sides,
            block_deg,
            None if seasons is None else tuple(seasons),
            None if by is None else tuple(by),
            None if arrays is None else tuple(arrays),
            places or probing.MOST_PLACES,
            draws,
            seed,
        )
        file = path_of(out)
        target = None if file is None else Store(file.absolute().parent)
        with naming("--out", out or ""):
            if target is not None:
                target.check_writable()
        found = probing.probed(self.dataset, self.store, encoders, how, run_code=run_code)
        if target is None or file is None:
            return ProbeResult(found, "")
        target.publish(file.name, (json.dumps(found.to_json(), indent=1) + "\n").encode())
        return ProbeResult(found, target.where(file.name))
