"""All rules together, on a table in which copies, wrong labels and empty samples were planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curation.worth.prune import rates
from curation.worth.prune.rules import PruneRules, judged
from curation.worth.prune.samples import JudgedSamples
from tests.benchmarks import pruning
from tests.benchmarks.pruning import Planted

pytestmark = pytest.mark.slow

TRAIN = PruneRules(splits=("train",), most_of_class=1.0)


@pytest.fixture(scope="module")
def world() -> Planted:
    return pruning.planted(seed=1, places=250, noise="uniform")


@pytest.fixture(scope="module")
def reasons(world) -> np.ndarray:
    return np.array(judged(world.samples, TRAIN).reason)


def rearranged(its: JudgedSamples, order: np.ndarray) -> JudgedSamples:
    rows = {n: getattr(its, n)[order] for n in ("lon", "lat", "side_m", "values", "sizes")}
    named = {n: tuple(getattr(its, n)[k] for k in order) for n in ("ids", "splits")}
    labels = replace(its.labels, present=its.labels.present[order])
    return replace(its, **rows, **named, labels=labels, same_scenes=lambda a, b: its.same_scenes(order[a], order[b]))


def test_what_was_planted_is_found(world, reasons):
    its = judged(world.samples, replace(TRAIN, rules=("duplicates",)))
    for kind, found in pruning.found_copies(world, its.out, its.scores["twin"]).items():
        assert (kind, found.recall > 0.9, found.precision) == (kind, True, 1.0)
    left = ~np.char.startswith(reasons, "duplicate")
    found = pruning.found(reasons == "mislabelled", world.wrong & left)
    assert found.recall > 0.5
    assert found.precision > 0.4  # of labels drawn at random a tenth would be
    found = pruning.found(reasons == "uninformative", world.empty & left & (reasons != "mislabelled"))
    assert found.recall > 0.9
    assert found.precision > 0.9


def test_kinds_are_told_apart(world):
    its = judged(world.samples, replace(TRAIN, rules=("duplicates",)))
    pairs = [r if its.out[r] else world.of[r] for r in np.flatnonzero(world.copy >= 0)]
    said = [its.reason[p].partition(":")[2] for p in pairs]
    want = [pruning.KINDS[k] for k in world.copy[world.copy >= 0]]
    assert np.mean([s == w for s, w in zip(said, want, strict=True)]) > 0.95


def test_the_order_of_samples_decides_nothing(world, reasons):
    order = np.random.default_rng(0).permutation(len(reasons))
    its = judged(rearranged(world.samples, order), replace(TRAIN, rules=("duplicates", "information")))
    straight = judged(world.samples, replace(TRAIN, rules=("duplicates", "information")))
    assert its.reason == tuple(straight.reason[k] for k in order)
    assert (its.scores["twin"] == straight.scores["twin"][order]).all()


def test_what_models_are_judged_by_stays_and_its_copies_in_train_go(world):
    held = np.zeros(len(world.copy), bool)
    held[world.of[world.copy >= 0]] = True
    samples = replace(world.samples, splits=tuple("val" if h else "train" for h in held))
    out = judged(samples, TRAIN).out
    assert not out[held].any()
    assert out[world.copy >= 0].mean() > 0.9
    whole, _ = rates.rates(samples, TRAIN, judged(samples, TRAIN))
    assert whole.of == (~held).sum()


def test_labels_of_what_models_are_judged_by_teach_the_probe_nothing(world):
    held = np.arange(len(world.copy)) % 3 == 0
    samples = replace(world.samples, splits=tuple("val" if h else "train" for h in held))
    other = samples.labels.present.copy()
    other[held] = np.roll(other[held], 1, axis=1)
    changed = replace(samples, labels=replace(samples.labels, present=other))
    rules = replace(TRAIN, rules=("mislabelled",))
    one, two = (judged(s, rules).scores["label_margin"] for s in (samples, changed))
    assert np.array_equal(one[~held], two[~held])


def test_half_stays_where_half_is_asked_for_and_dense_clusters_lose_most(world):
    rules = replace(TRAIN, rules=("duplicates", "balance"), keep=0.5, balance=("label",))
    its = judged(world.samples, rules)
    assert (~its.out).sum() == round(0.5 * len(its.out))
    counts = world.samples.labels.present[~its.out].sum(axis=0)
    before = world.samples.labels.present.sum(axis=0)
    assert counts.max() - np.median(counts) <= 1
    assert counts[before.argmin()] > 0.8 * before.min()


def test_no_class_loses_more_labels_than_it_may(world):
    its = judged(world.samples, replace(TRAIN, rules=("mislabelled",), most_of_class=0.05))
    given = world.samples.labels.of_one()
    for name in range(len(pruning.CLASSES)):
        assert its.out[given == name].sum() <= 0.05 * (given == name).sum() + 1e-9
    assert its.out.any()


def test_who_loses_far_more_than_others_is_marked(world, reasons):
    its = judged(world.samples, TRAIN)
    samples = replace(world.samples, domains={"zone": ["a" if r else "b" for r in its.reason]})
    whole, each = rates.rates(samples, TRAIN, its)
    assert (whole.out, whole.of) == (its.out.sum(), len(its.out))
    assert each[0] == rates.Rate("zone a", whole.out, whole.out)
    assert "zone a" in {r.group for r in rates.marked(whole, each)}
    assert {r.group for r in each} >= {f"label {c}" for c in pruning.CLASSES}
    assert rates.by_reason(its) == {k: (reasons == k).sum() for k in set(reasons) - {""}}


def test_samples_without_labels_are_not_doubted(world):
    its = judged(replace(world.samples, labels=None), TRAIN)
    assert "mislabelled" not in its.reason
    assert "label_margin" not in its.scores


def test_of_samples_without_numbers_nothing_is_said_by_them(world, reasons):
    lacking = np.flatnonzero(reasons == "mislabelled")[:3]
    values = world.samples.values.copy()
    values[lacking] = np.nan
    its = judged(replace(world.samples, values=values), replace(TRAIN, rules=("duplicates", "mislabelled")))
    assert len(lacking) == 3
    assert [its.reason[n] for n in lacking] == [""] * 3
    assert np.isnan(its.scores["label_margin"][lacking]).all()
