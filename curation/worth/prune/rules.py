"""Which samples may be left out, by which rule, with the score of each: the rules in order. Pure, by a seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.errors.words import did_you_mean
from curation.model import STATIC
from curation.places.grids import Floats, Ints
from curation.worth.probe.folds import side_deg
from curation.worth.probe.rows import ProbeRows
from curation.worth.prune import clusters, labels, probing
from curation.worth.prune.duplicates import KINDS, DuplicateRule, Duplicates, duplicates
from curation.worth.prune.information import information, little
from curation.worth.prune.labels import Mislabelled
from curation.worth.prune.neighbours import RADIUS_M, Values, reduced, standardised
from curation.worth.prune.samples import JudgedSamples

DUPLICATES, MISLABELLED, INFORMATION, BALANCE = "duplicates", "mislabelled", "information", "balance"
RULES = (DUPLICATES, MISLABELLED, INFORMATION, BALANCE)
"""In this order: what one leaves out, those after it do not count."""

DENSITY, LABEL = "density", "label"
"""What samples are balanced by beside domains: clusters of like ones, and their rarest class."""


@dataclass(frozen=True, slots=True)
class PruneRules:
    """Which rules, and how strict; thresholds beyond these follow from the data."""

    rules: tuple[str, ...] = (DUPLICATES, MISLABELLED, INFORMATION)
    splits: tuple[str, ...] = ()
    """Whose samples may be left out; those that models learn from where it says none. Of other parts none is."""
    least_overlap: float = 0.2
    """Copies: least share of a footprint in common."""
    same_overlap: float = 0.5
    """Copies: share of the footprint that is enough where both are of the same scenes."""
    alike: float = 1.0
    """Copies, else: nearer than this share of how far the median sample is from the most alike one elsewhere."""
    sure_by: float = labels.SURE
    """Wrong labels: by how much likelier than the label another class has to be."""
    most_of_class: float = 0.1
    """Wrong labels: most that a class may lose by them, a share; 1: any."""
    block_deg: float | None = None
    """Wrong labels: side of the blocks of the sphere that the probe has seen all or nothing of, degrees of latitude; 0.5
    where None, or as much less as 20 blocks want."""
    least_information: float = 0.25
    """Little information: less than this share of what the median sample packs into."""
    keep: float | None = None
    """Balance: the share that stays of samples that may be left out, by all rules together."""
    balance: tuple[str, ...] = (DENSITY,)
    """Balance: by `density`, `label`, and domains, combined."""
    clusters: int | None = None
    """Balance: how many clusters; the root of the number of samples where None, 1,000 at most."""
    components: int = 64
    """Samples are compared, and probed, by so many principal components of their numbers, at most."""
    seed: int = 0

    def checked(self) -> PruneRules:
        """Itself, where it means something. Raises ConfigError where not."""
        if odd := [r for r in self.rules if r not in RULES]:
            raise ConfigError(f"--rules {odd[0]!r}: {did_you_mean(odd[0], RULES)}expected of {', '.join(RULES)}")
        if not self.alike >= 0:
            raise ConfigError(f"--alike {self.alike:g}: expected a share, 0 or more")
        if not self.rules:
            raise ConfigError(f"--rules: none is said; expected of {', '.join(RULES)}")
        for name in ("least_overlap", "same_overlap", "sure_by", "most_of_class", "least_information", "keep"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"--{name.replace('_', '-')} {value:g}: expected a share from 0 to 1")
        if (BALANCE in self.rules) != (self.keep is not None):
            raise ConfigError("--keep says how much the rule 'balance' leaves, and it alone: give both or neither")
        if self.block_deg is not None and not 0 < self.block_deg <= 90:
            raise ConfigError(f"--block-deg {self.block_deg:g}: expected degrees, more than 0 and at most 90")
        return self

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules say of N samples."""

    reason: tuple[str, ...]
    """Code of each that is left out, empty of those that stay [N]."""
    scores: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Column → value of each sample [N], whichever rule decided; of rules that were not asked there is none."""
    found: dict[str, Any] = field(default_factory=dict)
    """Thresholds that followed from the data, and the noise of each class."""

    @property
    def out(self) -> NDArray[np.bool_]:
        """Whether each is left out [N]."""
        return np.array([bool(r) for r in self.reason], bool)


def judged(samples: JudgedSamples, rules: PruneRules, tell: Callable[[str], None] = lambda name: None) -> Judged:
    """What the rules say. The same samples, in whatever order, and the same seed give the same.

    Args:
        samples: of all parts of the split: a copy of what is not to be touched is left out, too.
        rules: with the `splits` that may be touched.
        tell: is called with the name of each rule before it is asked.
    """
    may = np.isin(samples.splits, rules.splits)
    values = reduced(standardised(samples.values), rules.components)
    reason = np.full(len(samples.ids), "", object)
    scores: dict[str, NDArray[Any]] = {}
    about: dict[str, Any] = {}
    bits = information(samples.sizes) if samples.sizes.size else np.full(len(samples.ids), np.nan)
    mixed = samples.mixed(rules.seed)
    if DUPLICATES in rules.rules:
        tell(DUPLICATES)
        copies = _copies(samples, rules, values, may, bits, mixed)
        _leave(reason, copies.form >= 0, [f"{Code.DUPLICATE}:{KINDS[k]}" for k in copies.form], may)
        ids = np.array([*samples.ids, ""], object)
        scores |= {"twin": ids[copies.twin], "overlap": copies.overlap, "alike": copies.alike}
        about["alike_below"] = copies.threshold
    if MISLABELLED in rules.rules and samples.labels is not None:
        tell(MISLABELLED)
        wrong = _wrong(samples, rules, values, (reason == "") & samples.known, may)
        _leave(reason, wrong.suspect, Code.MISLABELLED, may)
        names = np.array([*samples.labels.names, ""], object)
        scores |= {"label_margin": wrong.margin, "label_doubted": names[wrong.doubted]}
        about["label_noise"] = dict(zip(samples.labels.names, wrong.noise.tolist(), strict=True))
    scores["information"] = bits
    if INFORMATION in rules.rules:
        tell(INFORMATION)
        _leave(reason, little(bits, rules.least_information), Code.UNINFORMATIVE, may)
    if BALANCE in rules.rules:
        tell(BALANCE)
        scores |= _balanced(samples, rules, values, reason, may, mixed)
    return Judged(tuple(reason.tolist()), scores, about)


def _leave(reason: NDArray[Any], which: NDArray[np.bool_], code: Any, may: NDArray[np.bool_]) -> None:
    """Writes the code of those that are left out, where no rule before has."""
    rows = np.flatnonzero(which & may & (reason == ""))
    reason[rows] = [str(code[r]) for r in rows] if isinstance(code, list) else str(code)


def _copies(
    samples: JudgedSamples, rules: PruneRules, values: Values, may: NDArray[np.bool_], bits: Floats, mixed: Ints
) -> Duplicates:
    """The copies: of two the one with more in it stays."""
    order = np.empty(len(mixed), np.int64)
    order[np.lexsort((mixed, -np.round(np.nan_to_num(bits), 3)))] = np.arange(len(mixed))
    rule = DuplicateRule(rules.least_overlap, rules.same_overlap, rules.alike)
    places = (samples.lon, samples.lat, samples.side_m)
    return duplicates(values, *places, ~may, order, rule, samples.same_scenes, rules.seed, samples.known)


def _wrong(
    samples: JudgedSamples, rules: PruneRules, values: Values, stays: NDArray[np.bool_], may: NDArray[np.bool_]
) -> Mislabelled:
    """The wrong labels, by a probe of those that may be left out and are no copies.

    Labels that models are judged by teach it nothing; all samples have a score.
    """
    assert samples.labels is not None
    ids = np.array(samples.ids, str)
    rows = ProbeRows(ids, ids, np.full(len(ids), STATIC), samples.lon, samples.lat, np.array(samples.splits, str))
    apart_rad = float(np.sqrt(2) * samples.side_m.max(initial=0)) / RADIUS_M
    block_deg = rules.block_deg or side_deg(samples.lon, samples.lat)
    try:
        folds = probing.place_folds(rows, stays & may, block_deg, apart_rad, rules.seed)
    except ConfigError as err:
        raise ConfigError(f"{err}; or leave {MISLABELLED!r} out of --rules") from err
    its = samples.labels
    said = probing.cross_fitted(values, its.present, its.names, folds, several=its.several)
    said[~samples.known] = np.nan  # what is read of nothing says nothing
    sure = rules.sure_by
    found = labels.of_several(its.present, said, sure) if its.several else labels.of_one(its.of_one(), said, sure)
    suspect = found.suspect & stays & may
    member = np.nan_to_num(its.present) > 0
    suspect &= labels.spared(suspect, found.margin, member & may[:, None], rules.most_of_class)
    return dataclasses.replace(found, suspect=suspect)


def _balanced(
    samples: JudgedSamples, rules: PruneRules, values: Values, reason: NDArray[Any], may: NDArray[np.bool_], mixed: Ints
) -> Mapping[str, NDArray[Any]]:
    """Leaves out what there is too much of; gives cluster and stratum of each sample."""
    count = rules.clusters or min(round(np.sqrt(len(values))), 1000)
    which, far = clusters.clusters(values, max(count, 1), rules.seed)
    columns = []
    for name in rules.balance:
        if name == DENSITY:
            columns.append(which)
        elif name == LABEL and samples.labels is not None:
            columns.append(samples.labels.rarest())
        elif name in samples.domains:
            columns.append(np.unique(np.array(samples.domains[name], str), return_inverse=True)[1])
        else:
            has = [DENSITY, *([LABEL] if samples.labels is not None else []), *samples.domains]
            raise ConfigError(f"--balance {name!r}: {did_you_mean(name, has)}expected of {', '.join(has)}")
    stratum = clusters.joined(columns)
    left = np.flatnonzero(may & (reason == ""))
    total = round((rules.keep or 0.0) * int(may.sum()))
    crowded = np.ones(len(left), bool)
    crowded[clusters.chosen(stratum[left], mixed[left], total)] = False
    reason[left[crowded]] = str(Code.CROWDED)
    return {"cluster": which, "cluster_distance": far, "stratum": stratum}
