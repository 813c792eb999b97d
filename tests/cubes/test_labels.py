import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.cubes import labels
from curation.errors import ReadError
from curation.recipe import files
from curation.recipe.pictures import ClassSpec
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml

CLASSES = [
    ClassSpec(code=10, name="trees"),
    ClassSpec(code=95, name="mangroves", label="trees"),
    ClassSpec(code=80, name="water"),
]
CODES = hnp.arrays(
    "u1", hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 10, 80, 95])
)


@given(CODES)
@settings(deadline=None)
def test_shares_are_of_the_labelled_pixels(codes):
    shares, valid = labels.class_fractions(codes, CLASSES, 0)
    labelled = codes[codes != 0]
    assert shares.dtype == np.float32
    assert valid == labelled.size / codes.size
    if labelled.size == 0:
        assert np.isnan(shares).all()
    else:
        assert shares == pytest.approx([(labelled == c.code).mean() for c in CLASSES], abs=1e-6)
        assert shares.sum() == pytest.approx(1, abs=1e-6)


def test_a_gap_is_never_a_class_even_where_a_class_has_code_0():
    world = read_toml(files.folder("stac_queries") / "dynamicworld.toml", SourceSpec)
    assert world.kind.legend[0].code == 0
    shares, valid = labels.class_fractions(np.full((4, 4), 255, "u1"), world.kind.legend, 255)
    assert valid == 0
    assert np.isnan(shares).all()
    half = np.full((4, 4), 255, "u1")
    half[:2] = 1
    shares, valid = labels.class_fractions(half, world.kind.legend, 255)
    assert (valid, shares[0], shares[1]) == (0.5, 0, 1)


@pytest.mark.parametrize("code", [11, 255, 1])
def test_a_code_outside_the_legend_is_refused_by_name(code):
    codes = np.full((4, 4), 10, "u1")
    codes[1, 1] = code
    with pytest.raises(ReadError, match=rf"class codes \[{code}\]: not in the legend \[10, 95, 80\]"):
        labels.class_fractions(codes, CLASSES, 0)


@given(CODES)
@settings(deadline=None)
def test_classes_add_up_to_their_labels(codes):
    shares, valid = labels.class_fractions(codes, CLASSES, 0)
    got = labels.label_fractions(shares, CLASSES, ["water", "trees", "absent"])
    if valid == 0:
        assert np.isnan(got).all()
    else:
        assert got == pytest.approx([shares[2], shares[0] + shares[1], 0], abs=1e-6)


def test_a_class_that_counts_as_no_label_of_the_list_is_left_out():
    assert labels.label_fractions(np.array([0.25, 0.25, 0.5], "f4"), CLASSES, ["water"]).tolist() == [0.5]


def test_worldcover_counts_as_the_classes_of_dynamic_world():
    folder = files.folder("stac_queries")
    cover, world = (read_toml(folder / f"{n}.toml", SourceSpec) for n in ("worldcover", "dynamicworld"))
    assert set(cover.labels) == set(world.labels)
    shares = np.zeros(len(cover.kind.legend), "f4")
    shares[[c.code for c in cover.kind.legend].index(95)] = 1
    got = dict(zip(world.labels, labels.label_fractions(shares, cover.kind.legend, world.labels), strict=True))
    assert {k for k, v in got.items() if v} == {"trees"}


@pytest.mark.parametrize(
    ("fractions", "valid", "least", "want"),
    [
        ([0.05, 0.95], 1.0, 0.05, [1, 1]),
        ([0.049, 0.951], 1.0, 0.05, [0, 1]),
        ([0.0, 1.0], 1.0, 0.0, [0, 1]),
        ([0.5, 0.5], 0.49, 0.05, None),
        ([0.5, 0.5], 0.5, 0.05, [1, 1]),
        ([float("nan")] * 2, 1.0, 0.05, None),
    ],
)
def test_a_label_is_present_absent_or_unknown(fractions, valid, least, want):
    assert labels.multi_hot(np.array(fractions), valid, least, 0.5) == want
