"""Guards of `examples`."""

from tests.mutants.row import Mutant

ROWS = (
    Mutant(
        "a box without a width is no outline around the Earth",
        "curation/examples/google_s2_items.py",
        "        and (east - west) % 360\n",
        "",
        ("tests/examples/test_google_s2_items.py::test_rows_that_make_no_item_are_counted",),
    ),
)
