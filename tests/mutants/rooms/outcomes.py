"""Guards of `outcomes`."""

from tests.mutants.row import Mutant

ROWS = (
    Mutant(
        "a source that is ok is none of a patch that failed for another",
        "curation/outcomes.py",
        "return self.status is Status.OK and its is not None and",
        "return its is not None and",
        (
            "tests/pack/labels/test_coverage.py::"
            "test_a_patch_that_failed_has_no_labels_though_the_source_that_they_go_with_is_ok",
        ),
    ),
)
