"""Guards of `pipeline`."""

from tests.mutants.row import STORAGE, Mutant

ROWS = (
    Mutant(
        "what a task wrote is what is stored",
        "curation/pipeline.py",
        " or stat.etag != receipt.etags[stored.key]:",
        ":",
        ("tests/test_pipeline.py::test_a_task_that_another_writer_overtook_is_not_recorded_as_done",),
    ),
    Mutant(
        "a failed slab is blamed on no source",
        "curation/pipeline.py",
        "failed = {s.name: SourceOutcome(Status.FAILED, Code.UPSTREAM) for",
        "failed = {s.name: SourceOutcome(Status.FAILED, type(result).__name__, cause=cause) for",
        (
            "tests/test_pipeline.py::test_a_slab_that_fails_as_a_whole_is_blamed_on_no_source_keeps_its_whole_cause_and_is_tried_again",
        ),
    ),
    Mutant(
        "a build ends where nothing more can be kept",
        "curation/pipeline.py",
        "                if isinstance(result, StorageError):  # the",
        "                if False:  # the",
        ("tests/test_pipeline.py::test_a_slab_that_cannot_be_kept_ends_the_build_and_is_no_failure_of_its_patches",),
    ),
    Mutant(
        "a build's want of storage is no error that Dask tries again",
        "curation/pipeline.py",
        "Final(work or build_slab)",
        "work or build_slab",
        (f"{STORAGE}workers_are_given_work_that_does_not_raise_for_want_of_storage",),
    ),
    Mutant(
        "an id that excludes nothing is told",
        "curation/pipeline.py",
        "    _say_unknown(searches)\n    for",
        "    for",
        ("tests/build/test_excluded.py::test_an_id_that_excludes_nothing_is_told_and_one_that_does_is_not",),
    ),
    Mutant(
        "a build that is refused has replaced no labels",
        "curation/pipeline.py",
        "        works = _works(run, asked, seasons)\n    keep()\n",
        "        keep()\n        works = _works(run, asked, seasons)\n",
        ("tests/api/test_labelled.py::test_what_is_refused_has_replaced_no_labels_and_what_goes_on_has",),
    ),
    Mutant(
        "a slab that fails as a whole keeps what stands of it",
        "curation/pipeline.py",
        "    if before is None or not before.chunks:\n",
        "    if before is None or before.chunks is not None:\n",
        ("tests/cubes/test_bound.py::test_a_slab_that_fails_as_a_whole_while_it_is_given_a_source_keeps_what_stands",),
    ),
)
