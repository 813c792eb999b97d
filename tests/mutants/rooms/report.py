"""Guards of `report`."""

from tests.mutants.row import Mutant

ROWS = (
    Mutant(
        "what a page leaves out is told",
        "curation/report/survey.py",
        "left_out=tuple(others)",
        "left_out=()",
        ("tests/report/test_page.py::test_a_cube_whose_season_left_the_recipe_is_told_and_the_others_are_drawn",),
    ),
    Mutant(
        "the worst are those with the least that is good",
        "curation/report/worst.py",
        "key=lambda b: (b.value if less else -abs(b.value), b.name)",
        "key=lambda b: (abs(b.value), b.name)",
        ("tests/report/test_worst.py::test_the_worst_are_drawn_and_what_is_printed_takes_them_out",),
    ),
    Mutant(
        "on a map of many places what failed is not hidden",
        "curation/report/maps.py",
        "key_in = _KEY_IN if len(places) > MOST_POINTS else 0.0",
        "key_in = 0.0",
        (
            "tests/report/test_maps.py"
            "::test_of_a_quarter_million_places_with_every_third_failed_no_part_of_the_map_looks_complete",
        ),
    ),
    Mutant(
        "on a map of few places what failed is drawn above what is complete",
        "curation/report/maps.py",
        '("complete", "pending", "rejected", "failed") if',
        '("pending", "rejected", "failed", "complete") if',
        ("tests/report/test_maps.py::test_one_place_that_lacks_something_is_not_hidden_by_complete_ones_at_its_place",),
    ),
    Mutant(
        "nothing is said of fixed ranges where there are none",
        "curation/report/panels.py",
        'everywhere: {spans}." if spans else ""',
        'everywhere: {spans}."',
        ("tests/report/test_panels.py::test_nothing_is_said_of_ranges_where_none_is_fixed",),
    ),
    Mutant(
        "colours of classes without one differ from all others",
        "curation/report/palette.py",
        "    return own | dict(zip(others, _distinct(len(others), set(own.values())), strict=True))",
        "    return own | {c: QUALITATIVE[n % len(QUALITATIVE)] for n, c in enumerate(others)}",
        ("tests/report/test_panels.py::test_classes_without_a_colour_have_one_that_no_other_has",),
    ),
    Mutant(
        "planned places are not counted as built",
        "curation/report/show.py",
        "sorted(cube.outcomes), patch, planned",
        "sorted(cube.numbers), patch, planned",
        ("tests/report/test_show.py::test_a_pending_patch_is_refused_with_what_builds_it_and_is_not_counted_as_built",),
    ),
    Mutant(
        "a dry run counts the tiles of JPEG 2000",
        "curation/report/estimate.py",
        "            block = _block_px(form, array)\n",
        "            block = BLOCK_PX\n",
        ("tests/report/test_estimate.py::test_tiles_of_jpeg_2000_are_counted_and_the_look_at_each_scene_too",),
    ),
    Mutant(
        "the report's unit of a shift is the measured array's pixel",
        "curation/report/measurements.py",
        'f"pixels of {on.own} from',
        'f"pixels of 10 m from',
        ("tests/build/test_beside.py::test_a_source_beside_the_one_it_goes_with_is_refused_by_the_recipe_s_limit",),
    ),
    Mutant(
        "the report tells no shift that says nothing",
        "curation/report/measurements.py",
        "    least = shift.least_peak(on.px)\n",
        "    least = 0.0\n",
        ("tests/build/test_beside.py::test_a_shift_that_says_nothing_refuses_nothing",),
    ),
    Mutant(
        "of shapes no blocks are reckoned",
        "curation/report/estimate.py",
        "[] if spec.kind.holds_shapes else [*first, *then]",
        "[*first, *then]",
        ("tests/build/test_vectors.py::test_a_dry_run_counts_no_blocks_of_shapes_and_says_so",),
    ),
)
