"""What is drawn follows from seed and names, holds what a smaller sample held, and leaves no stratum out."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError, DamageError
from curation.pack.export.of_shards import index_of
from curation.worth.audit import drawn
from curation.worth.audit.drawn import MAIN, PRESENT, AuditDraw, DrawnPatch, DrawWish, Population
from tests.properties import examples
from tests.run import Curate


def patch(number: int, *stored: str) -> DrawnPatch:
    return DrawnPatch("train", f"p{number}", "summer", 8.0, 50.0, 0, stored)


COMMON = [patch(n, "trees", *(["crops"] if n % 3 == 0 else [])) for n in range(90)]
RARE = [patch(n, "trees", "water") for n in range(90, 97)] + [patch(97), patch(98), patch(99)]
EVERY = Population("tiny", "0" * 64, ("trees", "crops", "water"), [*COMMON, *RARE], ["north", "south"] * 50)


def draw(count: int = 24, **how: Any) -> AuditDraw:
    return drawn.drawn_of(EVERY, DrawWish(count, **{"domain": "", "least": 2, "question": PRESENT, **how}))


def drawn_here(built: Curate, count: int = 4, **how: Any) -> AuditDraw:
    wish = DrawWish(count, **{"domain": "", "least": 2, **how})
    return drawn.drawn(built.store.child("shards"), index_of(built.store), wish)


@settings(max_examples=examples(100))
@given(st.lists(st.integers(1, 500), min_size=1, max_size=12), st.integers(1, 20), st.integers(0, 300))
def test_more_in_all_is_fewer_of_no_stratum(sizes, least, more):
    wish = DrawWish(len(sizes) + more, least=least)
    few = drawn.dealt(sizes, wish)
    many = drawn.dealt(sizes, dataclasses.replace(wish, count=wish.count + 1))
    assert sum(few) == min(wish.count, sum(sizes))
    assert all(0 < a <= b <= size for a, b, size in zip(few, many, sizes, strict=True))
    if sum(few) >= sum(min(least, size) for size in sizes):
        assert all(n >= min(least, size) for n, size in zip(few, sizes, strict=True))


def test_strata_add_up_to_all_patches_that_have_a_label():
    its = draw()
    assert sum(s.size for s in its.strata) == 100
    assert its.labelled == {"trees": 97, "crops": 30, "water": 7}
    of = Counter(p.stratum for p in its.patches)
    assert sorted(of) == list(range(len(its.strata)))
    assert len({p.name for p in its.patches}) == sum(of.values()) == 24
    assert drawn.of_bytes(its.to_json(), "x") == its


def test_of_several_classes_the_stratum_is_the_rarest_and_of_none_one_of_its_own():
    its = draw()
    assert {s.label for s in its.strata} == {"trees", "crops", "water", drawn.NOTHING}
    for p in its.patches:
        wanted = min(p.stored, key=lambda n: its.labelled[n]) if p.stored else drawn.NOTHING
        assert its.strata[p.stratum].label == wanted
    assert sum("water" in p.stored for p in its.patches) >= 4  # of 7 among 100


def test_a_larger_sample_holds_the_smaller_one_and_another_seed_is_another():
    few, many = draw(), draw(60)
    assert {p.name for p in few.patches} < {p.name for p in many.patches}
    assert draw() == few
    assert {p.name for p in draw(seed=1).patches} != {p.name for p in few.patches}
    assert drawn.grown(few, many, "x") is many
    assert drawn.grown(many, few, "x") is many


def test_each_patch_of_a_stratum_is_drawn_as_often_as_another():
    draws = [draw(seed=seed) for seed in range(400)]
    seen = Counter(p.name for its in draws for p in its.patches)
    for number, stratum in enumerate(draws[0].strata):
        taken = sum(p.stratum == number for p in draws[0].patches) / stratum.size
        of = {p.name for its in draws for p in its.patches if p.stratum == number}
        assert len(of) == stratum.size
        assert all(abs(seen[name] / 400 - taken) < 0.1 for name in of)  # four standard errors


def test_what_was_drawn_of_something_else_is_not_gone_on_with():
    few = draw()
    others = (draw(seed=1), draw(domain="season"), msgspec.structs.replace(few, content_sha256="1" * 64))
    for other in others:
        with pytest.raises(ConfigError, match="is a sample of another"):
            drawn.grown(few, other, "x")
    with pytest.raises(DamageError, match="is of format 9"):
        drawn.of_bytes(few.to_json().replace(b'"format": 1', b'"format": 9'), "x")
    with pytest.raises(DamageError, match="is of no stratum"):
        drawn.of_bytes(few.to_json().replace(b'"stratum": 0', b'"stratum": 99'), "x")


def test_patches_of_a_dataset_are_its_samples_in_seasons_that_have_labels(built: Curate):
    its = drawn_here(built)
    assert its.content_sha256 == index_of(built.store).content_sha256
    assert [(s.label, s.domain, s.size) for s in its.strata] == [("trees", "all", 6)]
    assert {p.season for p in its.patches} == {"summer"}  # autumn has none
    assert drawn_here(built, question=PRESENT).labelled["crops"] == 6


@pytest.mark.parametrize("domain", ["season", "split", "region"])
def test_domains_part_the_strata(built: Curate, domain: str):
    its = drawn_here(built, domain=domain)
    for p in its.patches:
        said = {"season": p.season, "split": p.split, "region": "europe"}[domain]
        assert its.strata[p.stratum].domain == said


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"domain": "climte"}, "--domain climte: .*known: region, season, split"),
        ({"question": "mian"}, "did you mean main"),
        ({"question": "target"}, "no target of classes"),
        ({"least": 0}, "--least 0: expected"),
    ],
)
def test_what_cannot_be_drawn_is_refused(built: Curate, how: dict[str, object], said: str):
    with pytest.raises(ConfigError, match=said):
        drawn_here(built, **how)


def test_a_stratum_without_a_patch_is_not_left_out_unsaid():
    with pytest.raises(ConfigError, match="there are 8 strata"):
        drawn.drawn_of(EVERY, DrawWish(7, PRESENT))


def test_what_is_asked_follows_from_what_there_is(built: Curate):
    assert drawn.usual(index_of(built.store)) == MAIN


@pytest.mark.parametrize(
    ("fractions", "said"),
    [
        ([0.2, 0.5, 0.3], ("water",)),
        ([float("nan"), 0.5, 0.3], ("water",)),
        ([None, None, None], None),
        ([float("nan")] * 3, None),
        ([0.0, 0.0, 0.0], None),  # of classes that are no labels
    ],
)
def test_a_patch_of_which_nothing_is_labelled_is_not_taken_for_one_of_the_first_class(fractions, said):
    assert drawn.most_of(fractions, ["trees", "water", "crops"]) == said
