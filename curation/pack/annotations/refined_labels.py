"""Scene labels of two maps: without speckle, with how far the maps agree, and unknown where they conflict.

One map is of the year (WorldCover), the other of the day of each season (Dynamic World), on one legend. **They are no
independent witnesses**: both are made of Sentinel-2, so they also err together, and then agree on what is wrong. Agreement
is therefore no confidence: nothing here has been calibrated against what is on the ground.

    area       a class's pieces smaller than its least area are as if unlabelled; labels of narrow things have none
    support    of a map for a label: its fraction by twice `min_fraction`, at most 1: 0.5 where it begins to say so
    fraction   the mean of both maps' fractions; of a stable label the seasons' mean, of a passing one the day's own
    label      1 where the fraction is at least `min_fraction`, else 0
    agreement  the support of the map that goes along least: below 0.5 the maps say different things
    unknown    (NaN) where the agreement is below `min_agreement`, or a map is not there or too much of it is unlabelled
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.pack.meta import label_names, plain
from curation.pack.subject import Counted, Subject
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset
from curation.recipe.schema import LabelsSpec

Codes = NDArray[np.int16]
Floats = NDArray[np.float64]

UNLABELLED = -1
"""In a map of labels: a gap, or a class that counts as no label."""

LABEL, AGREEMENT, FRACTION = range(3)
"""What the last axis of a refined label holds."""


@dataclass(frozen=True, slots=True)
class Refined:
    """Labels of one place, (season, label) float64 each, NaN where unknown."""

    present: Floats
    """1 or 0."""
    agreement: Floats
    """0 to 1; NaN where no two maps are heard."""
    fraction: Floats
    """Of the labelled pixels."""

    @property
    def stacked(self) -> Floats:
        """(season, label, 3): label, agreement, fraction."""
        return np.stack([self.present, self.agreement, self.fraction], axis=-1)


def without_speckle(codes: Codes, least_px: Sequence[float]) -> Codes:
    """The map with pieces smaller than their label's least area unlabelled; pixels of a piece share a side.

    Args:
        codes: (y, x), a label's number or `UNLABELLED`.
        least_px: per label, pixels; 1 or less keeps all.
    """
    pieces = _pieces(codes)
    sizes = np.bincount(pieces.reshape(-1), minlength=codes.size)[pieces]
    least = np.append(np.asarray(least_px, np.float64), 0)[codes]  # `UNLABELLED` finds the last, which keeps it
    return np.where(sizes < least, np.int16(UNLABELLED), codes)


def _pieces(codes: Codes) -> NDArray[np.int64]:
    """Per pixel the first pixel of its piece, (y, x): pixels of one code that are joined by sides.

    SciPy has it, and goes with the embedded Earth alone: who packs need not install it.
    """
    at = np.arange(codes.size).reshape(codes.shape)
    beside, below = codes[:, 1:] == codes[:, :-1], codes[1:] == codes[:-1]
    one = np.concatenate([at[:, :-1][beside], at[:-1][below]])
    other = np.concatenate([at[:, 1:][beside], at[1:][below]])
    first = np.arange(codes.size)
    while one.size:  # each piece found so far is joined to the first of those beside it
        a, b = first[one], first[other]
        np.minimum.at(first, np.maximum(a, b), np.minimum(a, b))
        while (first[first] != first).any():
            first = first[first]
        apart = first[one] != first[other]
        one, other = one[apart], other[apart]
    return first.reshape(codes.shape)


def fractions(codes: Codes, labels: int) -> tuple[Floats, float]:
    """Share of each label among the labelled pixels, (label,), NaN where there are none; and the labelled share."""
    counts = np.bincount(codes[codes != UNLABELLED], minlength=labels)
    labelled = int(counts.sum())
    return (counts / labelled if labelled else np.full(labels, np.nan)), labelled / codes.size


def refine(
    annual: Codes | None, seasonal: Sequence[Codes | None], names: Sequence[str], rules: LabelsSpec, pixel_m2: float
) -> Refined:
    """Labels of both maps by the rules above.

    Args:
        annual: the map of the year, (y, x) of numbers of `names` or `UNLABELLED`; None where the place has none.
        seasonal: the same of each season's day.
        names: of the labels.
        rules: `[labels]` of the recipe, `refine` with it.
        pixel_m2: area of a pixel.
    """
    rule, count = rules.refine, len(names)
    least_px = [rule.least_px(n, pixel_m2) for n in names]
    stable, passing = (np.array([n in of for n in names], bool) for of in (rule.stable, rule.passing))

    def shares(codes: Codes | None, *, beneath: bool) -> Floats:
        """(label,) of a map without speckle; NaN where too little of it is labelled, or lies bare."""
        if codes is None:
            return np.full(count, np.nan)
        if beneath and passing.any():
            codes = np.where(np.isin(codes, np.flatnonzero(passing)), np.int16(UNLABELLED), codes)
        # What speckle was removed of was labelled: it does not make the rest unknown.
        known = fractions(codes, count)[1] >= rules.min_valid
        return fractions(without_speckle(codes, least_px), count)[0] if known else np.full(count, np.nan)

    year = shares(annual, beneath=True)
    days = np.stack([shares(codes, beneath=True) for codes in seasonal]).reshape(-1, count)
    day_support = _support(days, rules.min_fraction)
    of_season, its_support = days.copy(), day_support.copy()
    for label in np.flatnonzero(stable):
        known = ~np.isnan(days[:, label])
        if known.any():  # the seasons are heard together, and each of them has what they say
            of_season[:, label] = days[known, label].mean()
            its_support[:, label] = day_support[known, label].mean()
    fraction = (year + of_season) / 2
    support = np.stack([np.broadcast_to(_support(year, rules.min_fraction), fraction.shape), its_support])
    says = fraction >= rules.min_fraction
    agreement = np.where(says, support.min(axis=0), 1 - support.max(axis=0))
    agreement[np.isnan(fraction)] = np.nan
    present = np.where(np.isnan(fraction) | (agreement < rule.min_agreement), np.nan, says & (fraction > 0))
    if passing.any():
        alone = np.stack([shares(codes, beneath=False) for codes in seasonal])[:, passing]
        present_alone = np.where(np.isnan(alone), np.nan, (alone > 0) & (alone >= rules.min_fraction))
        fraction[:, passing], agreement[:, passing], present[:, passing] = alone, np.nan, present_alone
    return Refined(present, agreement, fraction)


def _support(shares: Floats, min_fraction: float) -> Floats:
    if min_fraction == 0:  # all that is there at all is said outright
        return np.where(np.isnan(shares), np.nan, (shares > 0).astype(np.float64))
    return np.clip(shares / (2 * min_fraction), 0, 1)


def confusion(annual: Codes, day: Codes, labels: int) -> NDArray[np.int64]:
    """Pixels by label of the annual map (row) and of the day's (column), (label, label), where both have one."""
    both = (annual != UNLABELLED) & (day != UNLABELLED)
    pairs = annual[both].astype(np.int64) * labels + day[both]
    return np.bincount(pairs, minlength=labels * labels).reshape(labels, labels)


def check(dataset: Dataset, name: str, catalogs: Catalogs) -> None:
    """Passes where labels of the recipe can be refined, and the annotation has room for them.

    Raises:
        ConfigError: a map is missing, labels are none of the legend, or the shape is another; what to do is told.
    """
    rules, spec = dataset.recipe.labels, dataset.annotations[name].spec
    where = f"{dataset.path}: [annotations.{name}]"
    for key, source in (("annual", rules.annual), ("seasonal", rules.seasonal)):
        found = dataset.levels[0].specs.get(source or "")
        if found is None or not found.kind.legend or found.timeless != (key == "annual"):
            raise ConfigError(
                f"{where}: labels are refined from two maps: [labels] {key} = {source!r} is no "
                f"{'map of the year' if key == 'annual' else 'map by season'} that the samples have. Labels that come "
                "without a map cannot be refined: leave the annotation out"
            )
    grids = {
        (a.res_m, a.px(dataset.levels[0].recipe.grid.size))
        for source in (rules.annual, rules.seasonal)
        for a in dataset.levels[0].arrays[str(source)].values()
    }
    if len(grids) > 1 or None in {res for res, _ in grids}:
        raise ConfigError(
            f"{where}: both maps are compared by pixel: put them on one grid in metres, found {sorted(grids)}"
        )
    known = label_names(dataset)
    if odd := sorted(rules.refine.named - set(known)):
        raise ConfigError(
            f"{dataset.path}: [labels.refine] names {odd}: no such label; {did_you_mean(odd[0], known)}"
            f"labels are {', '.join(known)}"
        )
    if dataset.annotations[name].called == "refined_names":
        if spec.type != "text":
            raise ConfigError(f"{where}: type = {spec.type!r}: expected 'text'")
        return
    shape = [len(dataset.season_names()), len(known), 3]
    if spec.type != "numbers" or spec.shape != shape:
        raise ConfigError(
            f"{where}: type = {spec.type!r}, shape = {spec.shape}: expected 'numbers' and {shape}: seasons, labels, and "
            "of each whether it is there, the agreement, and the fraction"
        )


def refined_labels(sample: Subject) -> Counted | None:
    """(season, label, 3): 1 or 0, agreement, fraction; NaN where unknown. None of a sample without the map of the year."""
    maps = _maps(sample)
    if maps is None:
        return None
    annual, days, pixel_m2 = maps
    its = refine(annual, days, sample.label_names, sample.rules, pixel_m2)
    return Counted(
        [[[plain(n) for n in label] for label in season] for season in its.stacked], _counts(sample, maps, its)
    )


def refined_names(sample: Subject) -> str | None:
    """`trees, water; unknown: grass`: labels of any season, and those known in none. None where nothing is known."""
    maps = _maps(sample)
    if maps is None:
        return None
    present = refine(maps[0], maps[1], sample.label_names, sample.rules, maps[2]).present
    unknown = np.asarray(np.isnan(present).all(axis=0))
    if unknown.all():
        return None
    there = [n for n, season in zip(sample.label_names, present.T, strict=True) if (season == 1).any()]
    names = ", ".join(there) or "none"
    doubtful = [n for n, never in zip(sample.label_names, unknown, strict=True) if never]
    return f"{names}; unknown: {', '.join(doubtful)}" if doubtful else names


def of_sample(sample: Subject) -> Refined | None:
    """Refined labels of a sample, a row per season of the recipe; None of one without both maps on one grid."""
    maps = _maps(sample)
    if maps is None or all(day is None for day in maps[1]) or len(sample.label_names) == 0:
        return None
    if len({m.shape for m in (maps[0], *maps[1]) if m is not None}) > 1:
        return None
    return refine(maps[0], maps[1], sample.label_names, sample.rules, maps[2])


def maps_of(sample: Subject) -> tuple[dict[str | None, Codes], float]:
    """Season, or None of the map of the year → numbers of labels, (y, x); and a pixel's area in square metres."""
    found: dict[str | None, Codes] = {}
    pixel_m2 = 0.0
    for name, pixels in sample.arrays.items():
        array, _, season = name.partition(".")
        entry = sample.entries.get(array)
        wanted = sample.rules.seasonal if season else sample.rules.annual
        if entry is None or entry.source != wanted:
            continue
        found[season or None] = _labels_of(pixels[0], sample.legends[array], sample.label_names)
        pixel_m2 = float(entry.res_m or 0) ** 2
    return found, pixel_m2


def _maps(sample: Subject) -> tuple[Codes, list[Codes | None], float] | None:
    """The map of the year and of each season's day as numbers of labels, and a pixel's area in square metres."""
    found, pixel_m2 = maps_of(sample)
    annual = found.get(None)
    return None if annual is None else (annual, [found.get(s) for s in sample.season_names], pixel_m2)


def _labels_of(codes: NDArray[Any], legend: Mapping[int, str], names: Sequence[str]) -> Codes:
    """Numbers of labels for codes of a legend."""
    out = np.full(codes.shape, UNLABELLED, np.int16)
    for code, label in legend.items():
        if label in names:
            out[codes == code] = list(names).index(label)
    return out


def _counts(sample: Subject, maps: tuple[Codes, list[Codes | None], float], its: Refined) -> dict[str, Any]:
    """What the report shows: where the maps differ, and what refining changed of the day's own labels."""
    annual, days, _ = maps
    labels, rules = len(sample.label_names), sample.rules
    out = {
        k: np.zeros(labels, np.int64) for k in ("known", "annual", "seasonal", "refined", "added", "removed", "unknown")
    }
    pixels = np.zeros((labels, labels), np.int64)
    year, valid = fractions(annual, labels)
    for day, present in zip(days, its.present, strict=True):
        if day is None:
            continue
        pixels += confusion(annual, day, labels)
        own, own_valid = fractions(day, labels)
        if min(valid, own_valid) < rules.min_valid:
            continue
        said = {k: (f > 0) & (f >= rules.min_fraction) for k, f in (("annual", year), ("seasonal", own))}
        now, doubtful = present == 1, np.isnan(present)
        for key, mask in {
            "known": np.ones(labels, bool), **said, "refined": now, "unknown": doubtful,
            "added": now & ~said["seasonal"], "removed": ~now & ~doubtful & said["seasonal"],
        }.items():  # fmt: skip
            out[key] += mask
    return {**out, "confusion": pixels}
