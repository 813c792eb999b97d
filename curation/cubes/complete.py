"""What a location has come to by the recipe's rule: a sample, not yet one, or never. Pure.

The one place where it is said; packing, the report, `show` and the estimate ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from curation.model import STATIC, Location
from curation.outcomes import PENDING, PatchOutcome, Status
from curation.recipe.dataset import Dataset

COMPLETE, REJECTED, FAILED = "complete", "rejected", "failed"
"""With `pending`, what a location may be: enough of it is there; what it lacks will never be; a rerun tries it again."""

Outcomes = Callable[[str, str, str], PatchOutcome | None]
"""Folder, season and location id → what became of the patch; None where it is pending."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a location has come to."""

    state: str
    """`complete`, `rejected`, `failed` or `pending`."""
    reason: str | None = None
    """`incomplete:<season>` with the patch's own reason; None where it is complete."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A location, its patches, and what it has come to."""

    location: Location
    folder: str
    """What its cubes lie below."""
    number: int
    """Its place in them."""
    have: Mapping[str, PatchOutcome | None]
    """Season → what became of its patch; None where it is pending."""
    verdict: Verdict
    """Of a root with its children."""
    children: tuple[Standing, ...] = ()
    """Of its children, in the order of the draw."""


def judged(rule: str, have: Mapping[str, PatchOutcome | None]) -> Verdict:
    """What a location has come to by its own patches.

    Args:
        rule: `all` of them are wanted; `any`: what is static, and one season; `some`: one, whichever.
        have: season → what became of its patch, `static` first; None where it is pending.
    """
    status = {s: o.status if o else Status.PENDING for s, o in have.items()}
    bad = [s for s, its in status.items() if its is not Status.OK]
    seasonal = [s for s in have if s != STATIC]
    every, one_of = {"all": (list(have), []), "any": ([s for s in have if s == STATIC], seasonal)}.get(
        rule, ([], list(have))
    )
    lacking = [s for s in every if s in bad]
    if one_of and all(s in bad for s in one_of):
        lacking += one_of
    if not lacking:
        return Verdict(COMPLETE)
    lost = [s for s in lacking if status[s] in (Status.REJECTED, Status.ABSENT)]
    if any(s in every for s in lost) or (lost and set(one_of) <= set(lost)):
        state = REJECTED
    else:
        state = FAILED if any(status[s] is Status.FAILED for s in lacking) else PENDING
    first = have[lacking[0]]
    return Verdict(state, f"incomplete:{lacking[0]} ({first.label if first else PENDING})")


def with_children(rule: str, own: Verdict, children: Sequence[Verdict]) -> Verdict:
    """What a root has come to with its children: by the rule `some`, anything that one of these has makes it a sample."""
    if rule != "some" or own.state == COMPLETE:
        return own
    if any(v.state == COMPLETE for v in children):
        return Verdict(COMPLETE)
    states = {own.state, *(v.state for v in children)}
    return Verdict(next(s for s in (FAILED, PENDING, REJECTED) if s in states), own.reason)


def standings(
    dataset: Dataset, region: str, places: Mapping[str, Sequence[Location]], outcome: Outcomes
) -> list[Standing]:
    """Where each root of a region stands, in the order of its cubes, with its children.

    Args:
        dataset: the recipe.
        region: its name.
        places: folder → the locations of its cubes, of each level that the region has; children with their parent.
        outcome: gives what became of a patch.
    """
    rule = dataset.recipe.pack.complete
    below: dict[str, list[Standing]] = {}
    found: list[Standing] = []
    for level in reversed(dataset.levels):
        folder, seasons = level.folder(region), level.cube_seasons()
        for number, location in enumerate(places.get(folder, ())):
            have = {s: outcome(folder, s, location.id) for s in seasons}
            verdict = judged(rule, have)
            if level.level:
                below.setdefault(location.parent or "", []).append(Standing(location, folder, number, have, verdict))
                continue
            children = sorted(below.get(location.id, ()), key=lambda c: c.location.rank)
            verdict = with_children(rule, verdict, [c.verdict for c in children])
            found.append(Standing(location, folder, number, have, verdict, tuple(children)))
    return found
