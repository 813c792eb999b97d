"""Guards of `pipeline`."""

from tests.mutants.row import STORAGE, Mutant

COLUMNS = "tests/cubes/test_columns.py::test_"

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
    Mutant(
        "decisions of another recipe leave out nothing",
        "curation/pipeline.py",
        "    if made.pruned is not None:\n",
        "    if False:\n",
        ("tests/worth/prune/test_prune.py::test_decisions_of_another_release_are_refused_before_anything_is_packed",),
    ),
    Mutant(
        "a cube has its columns as soon as it is built",
        "curation/pipeline.py",
        "                if not waiting[key]:\n",
        "                if False:\n",
        (f"{COLUMNS}a_cube_that_is_built_has_its_columns_though_the_build_of_the_next_one_is_stopped",),
    ),
    Mutant(
        "where everything fails columns are made before that is said",
        "curation/pipeline.py",
        "                for its in works:\n                    its.publish_columns()\n                _stop",
        "                _stop",
        (
            "tests/build/test_vectors.py::"
            "test_a_file_that_cannot_be_read_is_not_left_out_though_others_lie_around_the_place",
        ),
    ),
)
