"""How much each rule leaves out, and of whom: rare classes go first where nobody looks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.worth.prune.rules import Judged, PruneRules
from curation.worth.prune.samples import JudgedSamples

TWICE = 2.0
"""A group that loses so many times the share that all lose is marked."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of a group are left out."""

    group: str
    """`label <class>`, or `<domain> <value>`."""
    out: int
    of: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.out / self.of if self.of else 0.0


def by_reason(its: Judged) -> dict[str, int]:
    """Code → samples, the most common first."""
    return dict(sorted(Counter(r for r in its.reason if r).items(), key=lambda kv: (-kv[1], kv[0])))


def rates(samples: JudgedSamples, rules: PruneRules, its: Judged) -> tuple[Rate, list[Rate]]:
    """Of all samples that might be left out, and of each of their classes and domains; those that lose most come first."""
    may = np.isin(samples.splits, rules.splits)
    out = its.out
    found = [_rate(name, member & may, out) for name, member in _groups(samples).items()]
    return _rate("all", may, out), sorted((r for r in found if r.of), key=lambda r: (-r.share, r.group))


def _groups(samples: JudgedSamples) -> Mapping[str, NDArray[np.bool_]]:
    groups: dict[str, NDArray[np.bool_]] = {}
    if samples.labels is not None:
        has = np.nan_to_num(samples.labels.present) > 0
        groups |= {f"label {name}": has[:, n] for n, name in enumerate(samples.labels.names)}
    for domain, values in samples.domains.items():
        these = np.array(values, str)
        groups |= {f"{domain} {value}": these == value for value in sorted({*values}) if value}
    return groups


def _rate(name: str, member: NDArray[np.bool_], out: NDArray[np.bool_]) -> Rate:
    return Rate(name, int((member & out).sum()), int(member.sum()))


def marked(whole: Rate, each: list[Rate]) -> list[Rate]:
    """Those that lose more than twice the share that all do, and three samples or more."""
    return [r for r in each if r.out >= 3 and r.share > TWICE * whole.share]
