"""Guards of `cli`."""

from tests.mutants.row import Mutant

ROWS = (
    Mutant(
        "standard output that is full is told where it is not buffered, too",
        "curation/cli/main.py",
        "        print(flush=True)\n",
        "        sys.stdout.flush()\n",
        ("tests/store/test_full.py::test_standard_output_that_is_full_is_told",),
    ),
)
