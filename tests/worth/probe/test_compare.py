"""A comparison finds what was planted, with intervals, and nothing where nothing was."""

from dataclasses import replace

import numpy as np
import pytest

from curation.errors import ConfigError
from curation.places.nearby import EARTH_RADIUS_KM, nearest
from curation.worth.probe import compare, folds, scores
from curation.worth.probe.compare import Comparison, ProbeRules
from curation.worth.probe.rows import ProbedEncoder, ProbeTask
from tests.worth.probe import made

RULES = ProbeRules(draws=200)


def found_of(places=300, rules=RULES, task=None, more=()) -> Comparison:
    rows = made.rows(places)
    x = made.signal(rows)
    parts = folds.of_blocks(rows, 4, 1.0, 0.0, 0)
    return compare.compared(rows, task or made.task(rows, x), [*made.encoders(rows, x), *more], parts, rules)


@pytest.fixture(scope="module")
def found() -> Comparison:
    return found_of()


def difference(found: Comparison, other: str, head: str = "linear"):
    return next(p.difference for p in found.pairs if (p.encoder, p.other, p.head) == ("good", other, head))


def test_what_has_the_signal_is_seen_above_all_else(found):
    assert {(r.encoder, r.head) for r in found.results} == {
        (e, h) for e in ("good", "noisy", "nothing", "metadata", "good, labels shuffled") for h in ("linear", "knn")
    }
    for other in ("noisy", "nothing", "metadata", "good, labels shuffled"):
        assert difference(found, other).is_seen
        assert difference(found, other).value > 0.1
    assert found.of("good", "linear").main.value > 0.9
    assert found.rows == 600
    assert found.places == 300


def test_what_knows_nothing_scores_what_chance_does(found):
    for encoder in ("nothing", "metadata", "good, labels shuffled"):
        its = found.of(encoder, "linear").main
        assert its.value == pytest.approx(found.chance, abs=0.06)
    assert found.chance == pytest.approx(0.39, abs=0.04)


def test_an_encoder_beside_itself_differs_by_nothing_however_wide_its_interval():
    rows = made.rows(200)
    x = made.signal(rows)
    same = [ProbedEncoder("good", x), ProbedEncoder("again", x.copy(), "baseline")]
    found = compare.compared(rows, made.task(rows, x, noise=2.0), same, folds.of_blocks(rows, 4, 1.0, 0.0, 0), RULES)
    its = difference(found, "again")
    assert (its.value, its.low, its.high) == (0, 0, 0)
    main = found.of("good", "linear").main
    assert main.high - main.low > 0.05


def test_intervals_hold_the_score_and_are_of_the_main_score_s_draws(found):
    for its in found.results:
        assert its.main.low <= its.main.value <= its.main.high
        assert its.main_draws.shape == (200,)
        assert np.quantile(its.main_draws, 0.025) == pytest.approx(its.main.low)
        assert set(its.of_classes) == {"a", "b", "c"}
        assert np.mean([e.value for e in its.of_classes.values()]) == pytest.approx(its.main.value)


def test_a_class_that_nobody_has_is_told_and_in_no_mean():
    rows = made.rows(300)
    task = made.task(rows, made.signal(rows))
    more = ProbeTask("made", "classes", (*task.names, "none"), np.column_stack([task.values, np.zeros(600)]))
    a, b = found_of(task=task), found_of(task=more)
    assert b.untold == ("none",)
    # All classes are fitted at once, to within what the slope is let be: not to the last bit.
    assert b.of("good", "linear").main.value == pytest.approx(a.of("good", "linear").main.value, abs=1e-3)
    assert b.of("good", "knn").main.value == a.of("good", "knn").main.value
    assert set(b.of("good", "knn").of_classes) == {"a", "b", "c"}


def test_where_no_class_can_be_told_it_is_refused():
    rows = made.rows(300)
    with pytest.raises(ConfigError, match="all or none have each of 2 classes"):
        found_of(task=ProbeTask("made", "classes", ("a", "b"), np.tile([0.0, 1.0], (len(rows), 1))))


def test_the_worst_group_is_the_one_in_which_features_say_less():
    rows = made.rows(300)
    x = made.signal(rows)
    task = made.task(rows, x, noise=0.0)
    blind = np.where((rows.domains["half"] == "east")[:, None], np.random.default_rng(9).normal(size=x.shape), x)
    parts = folds.of_blocks(rows, 4, 1.0, 0.0, 0)
    found = compare.compared(rows, task, [ProbedEncoder("half blind", blind)], parts, RULES)
    worst = found.of("half blind", "linear").worst("half")
    assert worst is not None
    assert worst.group == "east"
    assert worst.score.high < found.of("half blind", "linear").main.value
    seasons = [g for g in found.of("half blind", "linear").groups if g.domain == "season"]
    assert [(g.group, g.places) for g in seasons] == [("summer", 300), ("winter", 300)]


def test_a_group_of_few_places_is_not_the_worst():
    rows = made.rows(300)
    rows.domains["half"][rows.places < "p00009"] = "few"
    x = made.signal(rows)
    parts = folds.of_blocks(rows, 4, 1.0, 0.0, 0)
    found = compare.compared(rows, made.task(rows, x), [ProbedEncoder("good", x)], parts, RULES).of("good", "linear")
    few = next(g for g in found.groups if g.group == "few")
    assert few.places == 9
    assert found.worst("half").group in ("east", "west")
    assert replace(found, groups=(few,)).worst("half") is None


def test_an_error_that_grows_with_distance_is_seen_and_one_that_does_not_is_not():
    rows = made.rows(400, seasons=("summer",))
    x, parts = made.signal(rows), folds.of_blocks(rows, 4, 2.0, 0.0, 0)
    km = np.empty(len(rows))
    for f in parts:
        km[f.scored] = nearest(*(c[w] for w in (f.scored, f.fit) for c in (rows.lon, rows.lat)))
    blurred = x + 3 * (km > np.median(km))[:, None] * np.random.default_rng(0).normal(size=x.shape)
    rules = ProbeRules(("knn",), draws=200, shuffle=False)
    its = compare.compared(rows, made.task(rows, x), [ProbedEncoder("far is blurred", blurred)], parts, rules)
    its = its.of("far is blurred", "knn")
    assert its.distance_rho.low > 0
    assert its.by_distance[-1].error.low > its.by_distance[0].error.high
    assert [d.low_km for d in its.by_distance] == sorted(d.low_km for d in its.by_distance)
    assert its.by_distance[-1].high_km == pytest.approx(km.max() * EARTH_RADIUS_KM)
    its = compare.compared(rows, made.task(rows, x), [ProbedEncoder("good", x)], parts, rules).of("good", "knn")
    assert its.distance_rho.low < 0 < its.distance_rho.high


def test_one_class_of_each_row_and_numbers_are_scored_as_such():
    rows = made.rows(300)
    x = made.signal(rows)
    one = ProbeTask("made", "class", ("a", "b", "c"), np.eye(3)[x[:, :3].argmax(axis=1)])
    found = found_of(task=one)
    assert list(found.of("good", "linear").scores) == ["accuracy", "mAP", "F1", "ECE"]
    assert found.of("good", "linear").main.value > 0.9
    assert found.of("nothing", "linear").main.value < found.chance + 0.06
    number = ProbeTask(
        "made", "number", ("height",), 100 + x[:, :1] * 5 + np.random.default_rng(0).normal(size=(600, 1))
    )
    found = found_of(task=number)
    assert found.of("good", "linear").scores["R2"].value == pytest.approx(25 / 26, abs=0.01)
    assert found.of("good", "linear").scores["RMSE"].value == pytest.approx(1, abs=0.1)
    assert found.of("nothing", "linear").main.value == pytest.approx(0, abs=0.02)
    assert found.of("good", "linear").ece_floor is None


def test_the_same_seed_gives_the_same_to_the_last_digit(found):
    again = found_of()
    assert [r.scores for r in again.results] == [r.scores for r in found.results]
    assert again.pairs == found.pairs


def test_pairs_are_of_what_is_asked_each_once():
    rows = made.rows(200)
    x = made.signal(rows)
    more = ProbedEncoder("other", x + np.random.default_rng(5).normal(size=x.shape))
    found = found_of(200, ProbeRules(("knn",), draws=50), more=[more])
    names = [(p.encoder, p.other) for p in found.pairs]
    assert ("good", "other") in names
    assert ("other", "good") not in names
    assert {a for a, _ in names} == {"good", "other"}
    assert len(set(names)) == len(names)


def test_rows_of_which_it_is_not_known_are_left_out_of_all():
    rows = made.rows(50)
    x = made.signal(rows)
    task = made.task(rows, x)
    task.values[7] = np.nan
    a, b, (c,) = compare.labelled(rows, task, [ProbedEncoder("good", x)])
    assert len(a) == len(b.values) == len(c.values) == 99
    assert np.array_equal(c.values[7], x[8])


def test_bad_features_are_refused_by_name():
    x = np.zeros((4, 2))
    x[2, 1] = np.inf
    with pytest.raises(ConfigError, match="features mine: 1 numbers are not finite, the first in row 2, feature 1"):
        ProbedEncoder("mine", x)
    with pytest.raises(ConfigError, match=r"features mine: got shape \(4,\)"):
        ProbedEncoder("mine", np.zeros(4))
    rows = made.rows(50)
    task = made.task(rows, made.signal(rows))
    with pytest.raises(ConfigError, match="features mine: got 3 rows, expected 100"):
        compare.labelled(rows, task, [ProbedEncoder("mine", np.zeros((3, 2)))])
    none = ProbeTask("labels", "classes", ("a",), np.full((100, 1), np.nan))
    with pytest.raises(ConfigError, match="labels: of 100 rows it is known of none"):
        compare.labelled(rows, none, [])
    with pytest.raises(ConfigError, match="features good: two encoders are called so"):
        found_of(more=[ProbedEncoder("good", np.zeros((600, 1)))])


def test_the_main_score_is_the_first_of_each_kind():
    rows = made.rows(20)
    truth = made.task(rows, made.signal(rows)).values
    for form, name in scores.MAIN.items():
        assert next(iter(scores.of_rows(form, truth, truth, np.ones((1, 40)), truth))) == name
