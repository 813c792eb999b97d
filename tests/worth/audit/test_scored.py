"""What marks say: by reader, class and domain, and where two of them differ."""

from __future__ import annotations

import pytest

from curation.worth.audit.drawn import MAIN, AuditDraw, DrawnPatch, DrawWish, Population, drawn_of
from curation.worth.audit.marks import Mark
from curation.worth.audit.scored import Score, scored
from tests.worth.audit.test_drawn import draw


def one_class() -> AuditDraw:
    """90 patches of trees in the north, 10 of water in the south: 6 of each are drawn."""
    stored = ["trees"] * 90 + ["water"] * 10
    patches = [DrawnPatch("train", f"p{n}", "summer", 0.0, 0.0, 0, (its,)) for n, its in enumerate(stored)]
    domains = ["north"] * 90 + ["south"] * 10
    every = Population("tiny", "0" * 64, ("trees", "crops", "water"), patches, domains)
    return drawn_of(every, DrawWish(12, MAIN, "region", 0, 6))


def said(its: AuditDraw, *otherwise: tuple[int, tuple[str, ...], bool]) -> dict[str, Mark]:
    """What is stored, but of some patches something else."""
    out = {p.name: Mark(p.name, p.stored, True, "") for p in its.patches}
    for number, classes, sure in otherwise:
        name = its.patches[number].name
        out[name] = Mark(name, classes, sure, "")
    return out


def of_one(its: AuditDraw, *otherwise: tuple[int, tuple[str, ...], bool]) -> Score:
    return scored(its, {"ann": said(its, *otherwise)})


def test_figures_are_of_all_patches_not_of_those_that_were_drawn():
    its = one_class()
    water = [n for n, p in enumerate(its.patches) if p.stored == ("water",)]
    (ann,) = of_one(its, *((n, ("crops",), True) for n in water[:3])).readers
    assert ann.overall.value == pytest.approx(0.9 + 0.1 / 2)  # 9 of 12 marks agree
    classes = {c.name: c for c in ann.by_class}
    assert classes["water"].right.value == pytest.approx(0.5)
    assert classes["water"].stored == 0.1
    assert classes["water"].seen.value == pytest.approx(0.05)
    assert classes["water"].found.value == classes["trees"].right.value == 1
    assert classes["crops"].seen.value == pytest.approx(0.05)
    assert classes["crops"].found.value == 0
    assert classes["crops"].right is None  # nobody stored it
    assert {n: round(e.value, 6) for n, e in ann.domains.items()} == {"north": 1, "south": 0.5}


def test_who_cannot_tell_says_nothing_and_a_stratum_without_a_mark_is_told():
    its = one_class()
    water = [n for n, p in enumerate(its.patches) if p.stored == ("water",)]
    (ann,) = of_one(its, *((n, (), False) for n in water)).readers
    assert (ann.marked, ann.unsure) == (6, 6)
    assert ann.covered == pytest.approx(0.9)
    assert ann.overall.value == 1
    assert ann.few == ("water of south (0 of 10)",)


def test_a_mark_of_fewer_classes_than_are_stored_is_wrong_and_right_of_those():
    its = draw(24)
    several = next(n for n, p in enumerate(its.patches) if set(p.stored) == {"trees", "water"})
    (ann,) = of_one(its, (several, ("trees",), True)).readers
    assert ann.overall.value < 1
    assert {c.name: c.right.value < 1 for c in ann.by_class} == {"trees": False, "crops": False, "water": True}


def test_two_readers_are_held_against_one_another():
    its = one_class()
    one, other = said(its), said(its, (0, ("crops",), True), (1, (), False))
    (pair,) = scored(its, {"ann": one, "ben": other}).pairs
    assert pair.readers == ("ann", "ben")
    assert pair.both == 11
    assert [(d.patch, d.first, d.second, d.stored) for d in pair.differ] == [
        (its.patches[0].name, ("trees",), ("crops",), ("trees",))
    ]
    assert 0 < pair.kappa["all classes"].value < 1
    alike = scored(its, {"ann": one, "ben": one}).pairs[0]
    assert alike.kappa["all classes"].value == 1
    assert alike.differ == ()


def test_of_several_classes_each_has_a_kappa():
    its = draw(24)
    (pair,) = scored(its, {"ann": said(its), "ben": said(its)}).pairs
    assert {n: e and e.value for n, e in pair.kappa.items()} == {"trees": 1, "crops": 1, "water": 1}


def test_readers_who_have_nothing_in_common_are_not_held_against_one_another():
    its = one_class()
    names = [p.name for p in its.patches]
    whole = said(its)
    pair = scored(its, {"ann": {n: whole[n] for n in names[:6]}, "ben": {n: whole[n] for n in names[6:]}}).pairs[0]
    assert (pair.both, pair.kappa, pair.differ) == (0, {"all classes": None}, ())
