"""Labels of two maps, refined: worked out by hand; and on the embedded Earth, whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.errors import ConfigError
from curation.format.index import Index
from curation.pack.annotate import check
from curation.pack.annotations.refined_labels import confusion, refine, without_speckle
from curation.recipe.refine import RefineSpec
from curation.recipe.schema import LabelsSpec
from curation.stream.open import open_shards
from tests.pack.test_annotate import checked, embedded, own
from tests.run import Curate

NAMES = ("water", "trees", "crops", "snow_and_ice")
WATER, TREES, CROPS, SNOW = range(4)
RULES = LabelsSpec(
    min_fraction=0.1, refine=RefineSpec(least_area_m2=300, linear=["water"], stable=["trees"], passing=["snow_and_ice"])
)


def of(*shares: tuple[int, int]) -> np.ndarray:
    """A map of 10 x 10 pixels whose rows are filled in order: (label, pixels) each."""
    return np.concatenate([np.full(n, label, np.int16) for label, n in shares]).reshape(10, 10)


def refined(annual: np.ndarray | None, *days: np.ndarray | None, rules: LabelsSpec = RULES):
    return refine(annual, days, NAMES, rules, 100.0)


def test_pieces_below_the_least_area_are_unlabelled_and_narrow_things_have_none():
    codes = of((CROPS, 100))
    codes[2, 2] = codes[2, 3] = TREES  # two pixels: speckle
    codes[5, 5:8] = TREES  # three: a wood
    codes[8, 8] = codes[9, 9] = TREES  # corners make no piece
    codes[0, 0] = WATER  # a brook
    out = without_speckle(codes, [0, 3, 3, 3])
    gone = {(2, 2), (2, 3), (8, 8), (9, 9)}
    assert {tuple(map(int, at)) for at in np.argwhere(out == -1)} == gone
    kept = out != -1
    np.testing.assert_array_equal(out[kept], codes[kept])
    its = refined(codes, codes)
    assert its.fraction[0, [WATER, TREES, CROPS]] == pytest.approx([1 / 96, 3 / 96, 92 / 96])


@pytest.mark.parametrize("seed", range(6))
def test_pieces_are_those_that_scipy_finds(seed: int):
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 3, (40, 57)).repeat(1 + seed % 2, axis=1).astype(np.int16)
    codes[seed, :] = codes[:, 2 * seed] = 1
    expected = codes.copy()
    for label, least in enumerate((0, 4, 9)):
        found, _ = ndimage.label(codes == label)
        small = np.bincount(found.reshape(-1)) < least
        small[0] = False
        expected[small[found]] = -1
    np.testing.assert_array_equal(without_speckle(codes, [0, 4, 9]), expected)


def test_what_both_maps_say_is_there_with_the_support_of_the_one_that_says_it_less():
    its = refined(of((TREES, 60), (CROPS, 40)), of((TREES, 88), (CROPS, 12)))
    assert its.present[0].tolist() == [0, 1, 1, 0]
    assert its.fraction[0, :3] == pytest.approx([0, 0.74, 0.26])
    # Crops: 0.12 of the day, by twice the least fraction, 0.2; water: neither says so; snow is heard of one map alone.
    assert its.agreement[0, :3] == pytest.approx([1, 1, 0.6])
    assert np.isnan(its.agreement[0, SNOW])


def test_where_maps_conflict_the_label_is_unknown_and_neither_there_nor_absent():
    its = refined(of((TREES, 50), (CROPS, 50)), of((TREES, 96), (CROPS, 4)))
    assert np.isnan(its.present[0, CROPS])
    assert its.agreement[0, CROPS] == pytest.approx(0.2)  # the day's 0.04 of 0.2
    lenient = RULES.model_copy(update={"refine": RULES.refine.model_copy(update={"min_agreement": 0.1})})
    assert refined(of((TREES, 50), (CROPS, 50)), of((TREES, 96), (CROPS, 4)), rules=lenient).present[0, CROPS] == 1


def test_seasons_are_heard_together_for_what_cannot_change_and_alone_for_what_can():
    year = of((TREES, 50), (CROPS, 50))
    summer, winter = of((TREES, 50), (CROPS, 50)), of((WATER, 94), (TREES, 6))
    its = refined(year, summer, winter)
    # Trees: 0.5 and 0.06 are 0.28 over the seasons, in both of them; support (1 + 0.3) / 2.
    assert its.present[:, TREES].tolist() == [1, 1]
    assert its.agreement[:, TREES] == pytest.approx([0.65, 0.65])
    # Crops are reaped: the summer's label is not made doubtful by the winter.
    assert its.present[0, CROPS] == 1
    assert its.agreement[0, CROPS] == 1
    assert np.isnan(its.present[1, CROPS])


def test_snow_is_of_its_own_day_and_what_lies_beneath_is_judged_by_what_is_seen():
    year = of((TREES, 60), (CROPS, 40))
    half = of((SNOW, 50), (TREES, 30), (CROPS, 20))
    its = refined(year, half, year)
    assert its.present[:, SNOW].tolist() == [1, 0]
    assert its.present[0, [TREES, CROPS]].tolist() == [1, 1]
    assert its.fraction[0, [TREES, CROPS, SNOW]] == pytest.approx([0.6, 0.4, 0.5])
    deep = refined(year, of((SNOW, 60), (CROPS, 40)), year)
    assert deep.present[0, SNOW] == 1
    assert np.isnan(deep.present[0, CROPS])  # less than half of the ground is seen
    assert deep.present[0, TREES] == 1  # as in the other season


def test_one_map_alone_is_no_agreement():
    for its in (
        refined(None, of((TREES, 100))),
        refined(of((TREES, 100)), None),
        refined(of((TREES, 100)), of((-1, 100))),
    ):
        assert np.isnan(its.present[0, :SNOW]).all()
        assert np.isnan(its.agreement[0]).all()


def test_a_map_of_speckle_is_known_but_says_nothing():
    speckle = np.indices((10, 10)).sum(axis=0) % 2
    codes = np.where(speckle == 1, TREES, CROPS).astype(np.int16)
    its = refined(of((TREES, 100)), codes)
    assert np.isnan(its.present[0, TREES])


def test_confusion_counts_pixels_that_both_maps_label():
    a, b = of((TREES, 60), (CROPS, 30), (-1, 10)), of((TREES, 50), (CROPS, 50))
    out = confusion(a, b, 4)
    assert out[TREES, TREES] == 50
    assert out[TREES, CROPS] == 10
    assert out[CROPS, CROPS] == 30
    assert out.sum() == 90


RECIPE = """
[annotations.refined]
function = "refined_labels"
type = "numbers"
shape = [2, 9, 3]
[annotations.ground]
function = "refined_names"
type = "text"
column = true
"""


@pytest.mark.slow
def test_refined_labels_come_with_samples_the_index_and_the_report(built: Curate, tmp_path: Path):
    mine = own(built, tmp_path, RECIPE + "[labels.refine]\nleast_area_m2 = 0\n")
    assert mine("pack") == 0  # built in: no code of the user's is executed
    data = open_shards(mine.folder)
    trees, crops = data.index.label_names.index("trees"), data.index.label_names.index("crops")
    table = pq.read_table(mine.folder / "shards" / data.index.splits["train"].samples_table.name).to_pylist()
    seen = 0
    for row, one in zip(table, data, strict=True):
        summer, autumn = one["refined"].numpy()
        assert np.isnan(autumn[crops, 0])  # no map of a day
        if np.isnan(summer[trees, 1]):
            continue
        seen += 1
        day = one["label_fractions"][0].numpy()
        wood = one["annual_label_fractions"].numpy()[trees]
        assert summer[trees, 2] == pytest.approx((day[trees] + wood) / 2, abs=1e-5)
        # Trees of the day are 0.75, crops 0.25; WorldCover has one or the other, or both at the border between them.
        assert summer[trees, 1] == pytest.approx(min(1.0, wood / 0.1), abs=1e-4)
        expected = 1.0 if wood >= 0.05 else np.nan
        np.testing.assert_equal(summer[trees, 0], expected)
        assert ("trees" in row["ground"].split(";")[0]) == (expected == 1)
    assert seen
    index = json.loads((mine.folder / "shards/index.json").read_text())
    counts = index["counts"]["annotations"]["refined"]
    assert sum(map(sum, counts["confusion"])) == seen * 48 * 48
    assert counts["known"][trees] == seen
    assert counts["seasonal"][trees] == counts["refined"][trees] + counts["unknown"][trees]
    assert isinstance(Index.from_bytes((mine.folder / "shards/index.json").read_bytes()), Index)
    assert mine("report") == 0
    page = (mine.folder / "report.html").read_text()
    assert "What refining changed" in page
    assert "not independent" in page
    assert mine("verify") == 0
    before = mine.hashes()
    assert mine("pack") == 0  # receipts of shards have the counts, too
    assert mine.hashes() == before


@pytest.mark.parametrize(
    ("recipe", "match"),
    [
        (RECIPE.replace("[2, 9, 3]", "[2, 9]"), r"expected 'numbers' and \[2, 9, 3\]: seasons, labels"),
        (RECIPE + '[labels.refine]\nstable = ["tree"]\n', r"no such label; did you mean trees\?"),
        (RECIPE + '[labels.refine]\nstable = ["snow_and_ice"]\n', "both 'stable' and 'passing'"),
        (RECIPE.replace('"text"', '"json"').replace("column = true", ""), "expected 'text'"),
    ],
)
def test_what_cannot_be_refined_is_refused_before_anything_is_read(built: Curate, tmp_path, recipe: str, match: str):
    with pytest.raises(ConfigError, match=match):
        checked(own(built, tmp_path, recipe).world.recipe)


def test_labels_without_a_map_are_not_refined(built: Curate, tmp_path: Path):
    mine = own(built, tmp_path, RECIPE)
    recipe = mine.world.recipe
    recipe.write_text(recipe.read_text().replace('annual = "worldcover"\n', ""))
    with pytest.raises(ConfigError, match=r"annual = None is no map of the year .* leave the annotation out"):
        check(mine.dataset, embedded(mine.dataset), run_code=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_where_errors_of_the_maps_are_unrelated_refined_labels_beat_both_maps_that_answer_as_often():
    # At the default correlation, 0.6, no gain can be told from none: there is nothing to hold. Of four seeds alone the maps
    # may come out equal; the benchmark has the interval of twelve.
    from curation.embedded.sensors.mistakes import Mistakes
    from curation.embedded.world import ground, regions
    from tests.benchmarks import labels as bench

    region = regions.by_name(bench.TOLD_ON)
    found = bench.cases(ground.make(region), region, [Mistakes(0.0, seed=s) for s in range(200, 212)], 6)
    some = bench.answered(found)
    mine = bench.macro(found, "refined", some["refined"])
    assert some["refined"].mean() > 0.8  # not by falling silent
    for way in found.says:
        if way != "refined":
            assert mine > bench.macro(found, way, some[way]), way
