import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.read import versions


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("05.10", "05.10"), ("0510", "05.10"), ("N0510", "05.10"), ("N05.10", "05.10"), (" 05.10 ", "05.10"),
        ("510", "05.10"), ("0301", "03.01"), ("301", "03.01"), (301, "03.01"), (510, "05.10"), ("2.08", "02.08"),
        (2.08, "02.08"), (5.11, "05.11"), (5.0, "05.00"), ("5.0", "05.00"), ("02.14", "02.14"), (4.0, "04.00"),
        ("04.00", "04.00"), ("10.00", "10.00"),
    ],
)  # fmt: skip
def test_a_baseline_is_read_in_each_form_that_names_only_one(value, want):
    assert versions.baseline(value) == want


@pytest.mark.parametrize(
    "value",
    [
        None, "", "5", 5, 4, "3.1", 5.1, "05.1", "5.10.0", "abc", "v05.10", "99.99", "N9999", 9999, True, [], {},
        "nan", float("nan"), float("inf"), -301, "-3.01", 1e3, "00.00", "٠٥.١٠", "0x05", "05,10", 51000,
    ],
)  # fmt: skip
def test_a_baseline_that_is_none_or_might_be_two_is_refused_by_name(value):
    with pytest.raises(versions.UnknownVersionError, match="processing baseline"):
        versions.baseline(value)


@given(st.integers(1, 98), st.integers(0, 99))
def test_a_baseline_as_products_are_named_is_that_which_they_state(major, minor):
    assert versions.baseline(f"N{major:02d}{minor:02d}") == versions.baseline(f"{major:02d}.{minor:02d}")


@given(st.lists(st.integers(0, 300), min_size=1, max_size=4), st.lists(st.integers(0, 300), min_size=1, max_size=4))
def test_versions_are_ordered_by_their_numbers_and_not_by_their_letters(a, b):
    one, other = ".".join(map(str, a)), "v" + ".".join(map(str, b))
    assert (versions.order(one) < versions.order(other)) == (a < b)


def test_no_version_is_the_oldest():
    assert versions.order(None) == versions.order("") < versions.order("0")


@pytest.mark.parametrize(
    ("stated", "want"),
    [("020401", "02.04.01"), ("02.04.01", "02.04.01"), ("2.4.0", "2.4.0"), ("03", "03"), ("2.0.0", "2.0.0")],
)
def test_versions_in_names_of_files_are_written_as_others_are(stated, want):
    assert versions.dotted(stated) == want


def test_a_version_in_a_name_is_that_of_the_metadata():
    assert versions.order(versions.dotted("020400")) == versions.order("2.4.0") == versions.order("02.04.00")
