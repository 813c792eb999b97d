"""Guards of `model`."""

from tests.mutants.row import Mutant

ROWS = (
    Mutant(
        "a day is the same text whether a file has it as a day or as an instant",
        "curation/model.py",
        'return f"{time:%Y-%m-%d}" if time.time() == dt.time() else iso(time)',
        "return iso(time)",
        ("tests/build/test_vectors.py::test_a_value_is_the_same_text_whatever_type_its_column_has",),
    ),
    Mutant(
        "a whole number is the same text whatever type a column has",
        "curation/model.py",
        "str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)",
        "str(value)",
        ("tests/build/test_vectors.py::test_an_event_is_told_by_a_number_whatever_type_its_column_has",),
    ),
    Mutant(
        "the last day of a season around a date belongs to it",
        "curation/model.py",
        "        end = last + dt.timedelta(days=1)\n",
        "        end = last\n",
        ("tests/recipe/test_seasons.py::test_its_days_are_whole_utc_days_counted_from_that_of_the_date",),
    ),
    Mutant(
        "days around a date are those of UTC",
        "curation/model.py",
        "day_0 = date.astimezone(dt.UTC).replace(",
        "day_0 = date.replace(",
        ("tests/recipe/test_seasons.py::test_its_days_are_whole_utc_days_counted_from_that_of_the_date",),
    ),
    Mutant(
        "a saved search of another window has another name",
        "curation/model.py",
        'f"{self.name}.{start:%Y%m%d}-{last:%Y%m%d}", start',
        "self.name, start",
        (
            "tests/scenes/test_candidates.py::test_each_distinct_window_of_a_cell_is_one_search_and_none_is_wider_than_a_place_s_own",
        ),
    ),
)
