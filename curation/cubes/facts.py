"""What is measured of a patch beside its pixels: the cube's measured coordinates. Pure: names, types and meanings.

What all sources have is said here, the rest by the file of the source's pick and that of its kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curation.outcomes import SLAB, PatchOutcome
from curation.recipe import angles
from curation.recipe.dataset import Dataset
from curation.recipe.facts import Fact, step_axis
from curation.recipe.sources import SourceSpec


def facts_of(dataset: Dataset, spec: SourceSpec) -> list[Fact]:
    """What is measured of a source."""
    s = spec.name
    steps = spec.pick.most_steps
    outcomes = [
        Fact(f"{s}_status", "uint8", f"what became of {s}"),
        Fact(f"{s}_reason", "string", f"why {s} was rejected, is absent or failed"),
        Fact(f"{s}_scenes", "string", "ids of the scenes its pixels come from, separated by spaces"),
    ]
    measured = [
        Fact(f"{s}_warped", "uint8", "1 where pixels were resampled from another grid, 0 where all were cropped"),
        Fact(f"{s}_valid_fraction", "float32", "share of the patch's pixels with data, 0 to 1"),
    ]
    if spec.pick.time:
        measured.append(Fact(f"{s}_time", "time", spec.pick.time))
    measured += spec.kind.facts(s)
    if spec.angles:
        there = {f.name for f in measured}  # radar tells the satellite anyway
        measured += [f for f in angles.facts(s) if f.name not in there]
    if steps is not None:
        measured = [f.at_steps(step_axis(s), steps) for f in measured]
    return outcomes + measured + spec.pick.facts(spec, dataset.shift_of(s))


def outcome_facts(outcome: PatchOutcome) -> dict[str, Any]:
    """The facts of a patch that its ledger line tells: fact → value."""
    out: dict[str, Any] = {"status": int(outcome.status), "reason": outcome.reason}
    for name, its in outcome.sources.items():
        if name == SLAB:  # `reason` has it
            continue
        out |= {
            f"{name}_status": int(its.status),
            f"{name}_reason": its.code or "",
            f"{name}_scenes": " ".join(its.scenes),
        }
    return out


def schema(dataset: Dataset, sources: Sequence[SourceSpec]) -> list[Fact]:
    """All measured coordinates of a cube of sources."""
    own = [Fact("status", "uint8", "what became of the patch"), Fact("reason", "string", "ok, or code:source")]
    return own + [f for spec in sources for f in facts_of(dataset, spec)]
