"""Guards of `api`."""

from tests.mutants.row import Mutant

ROWS = (
    Mutant(
        "a build that saw damage has failed",
        "curation/api/results.py",
        "[self.unreadable, self.damaged]",
        "[self.unreadable]",
        (
            "tests/cubes/test_columns.py::"
            "test_a_slab_that_is_damaged_costs_its_block_alone_and_the_build_says_what_it_came_to",
        ),
    ),
    Mutant(
        "what all take is reckoned by what some took",
        "curation/api/calibrated.py",
        "        times = its.todo / cost.patches",
        "        times = its.todo",
        ("tests/api/test_calibrated.py::test_what_all_take_is_what_ten_took_as_often_as_there_are_ten",),
    ),
    Mutant(
        "a root that is not there is told at once",
        "curation/api/folder.py",
        "            store.check_answers()\n",
        "",
        ("tests/scenes/test_session.py::test_a_root_that_nobody_answers_for_is_one_line_within_seconds",),
    ),
    Mutant(
        "a catalog that cannot be read ends the command with 1",
        "curation/api/results.py",
        "[*self._failures(), *filter(None, [self.unreadable, self.damaged])]",
        "self._failures()",
        (
            "tests/scenes/test_unreadable.py::test_a_catalog_of_which_much_cannot_be_read_ends_with_1_though_nothing_failed",
        ),
    ),
    Mutant(
        "the embedded Earth without its packages is said before it is started",
        "curation/api/earth.py",
        '    extras.check("earth", f"catalog {catalog}")\n',
        "",
        ("tests/test_dependencies.py::test_the_embedded_earth_without_its_extra_is_one_line_and_code_2",),
    ),
    Mutant(
        "a build of which patches failed is no success in Python",
        "curation/api/folder.py",
        "every.label, special)\n        if check:",
        "every.label, special)\n        if False:",
        ("tests/api/test_folder.py::test_a_build_of_which_patches_failed_raises_with_what_and_why",),
    ),
    Mutant(
        "what results say is text in HTML",
        "curation/api/results.py",
        "{html.escape(c)}",
        "{c}",
        ("tests/api/test_folder.py::test_what_a_result_says_is_text_in_html",),
    ),
    Mutant(
        "a wrong path of labels is told before anything is drawn",
        "curation/api/labelled.py",
        "        importing.check(path)\n    elif",
        "        pass\n    elif",
        ("tests/test_cli.py::test_a_wrong_path_of_labels_is_told_before_anything_is_asked_or_drawn",),
    ),
    Mutant(
        "labels of other places stop a build",
        "curation/api/labelled.py",
        "if or_else and stated.fault and not",
        "if False and not",
        (
            "tests/test_cli.py::test_labels_of_other_places_stop_the_build_until_allowed",
            "tests/api/test_labelled.py::test_a_file_that_labels_nothing_here_is_refused_and_what_was_imported_stays",
        ),
    ),
    Mutant(
        "a build goes on where maps were made of what was built before",
        "curation/api/labelled.py",
        "if or_else and stated.fault and not self.labels.record.made_by:",
        "if or_else and stated.fault:",
        (
            "tests/pack/labels/test_earthengine.py::test_a_second_region_is_built_after_maps_of_a_first_and_the_labels_are_of_both",
        ),
    ),
    Mutant(
        "what asks a catalog for labels opens it for its searches, too",
        "curation/api/folder.py",
        "keep=keep, searches=searches)",
        "keep=keep)",
        (
            "tests/api/test_labelled.py"
            "::test_a_catalog_that_is_asked_for_labels_is_opened_once_for_that_and_its_searches",
        ),
    ),
    Mutant(
        "who makes maps is looked for before anybody waits for it",
        "curation/api/labelled.py",
        "            way.check_there()\n",
        "            pass\n",
        (
            "tests/pack/labels/test_earthengine.py::test_where_nobody_is_there_it_is_said_what_is_asked_and_it_ends_within_seconds_with_one_line",
        ),
    ),
    Mutant(
        "a server that ends before it answers is no traceback",
        "curation/api/earth.py",
        "        except embedded.ServerError as err:",
        "        except ZeroDivisionError as err:",
        ("tests/api/test_earth.py::test_a_server_that_ends_before_it_answers_is_told_as_any_other_error",),
    ),
    Mutant(
        "nothing is imported whose statistics are odd",
        "curation/api/importing.py",
        "if look.odd or not look.ok:",
        "if not look.ok:",
        ("tests/api/test_importing.py::test_nodata_inside_statistics_is_refused_before_anything_is_written",),
    ),
    Mutant(
        "places of an import come behind those that stand",
        "curation/api/importing.py",
        "table = its.table(before)",
        "table = its.table()",
        (
            "tests/api/test_importing.py::test_a_sample_of_which_nobody_knows_where_it_is_is_told_and_added_behind_the_others",
        ),
    ),
    Mutant(
        "a table of places loses none",
        "curation/api/importing.py",
        "if gone := [name for name in before if name not in its.places]:",
        "if gone := []:",
        ("tests/api/test_importing.py::test_a_sample_that_has_a_place_keeps_its_row_where_its_file_is_gone",),
    ),
    Mutant(
        "chips of two releases are not one dataset",
        "curation/api/importing.py",
        "    _check_same(made, its, look)\n",
        "",
        ("tests/api/test_importing.py::test_chips_of_another_release_are_not_added_to_those_of_this_one",),
    ),
    Mutant(
        "a build tells what packing would refuse",
        "curation/api/folder.py",
        "notes = annotate.foreseen(made.dataset, every)",
        "notes: list[str] = []",
        ("tests/pack/test_era5_monthly.py::test_a_store_that_is_not_as_the_recipe_says_packs_nothing",),
    ),
    Mutant(
        "of chips no catalog's offers are shown",
        "curation/api/folder.py",
        "        if recipes.asks_nobody(self.dataset):\n",
        "        if False:\n",
        ("tests/recipe/test_foreign.py::test_who_is_asked_for_chips_is_nobody",),
    ),
    Mutant(
        "a URL is no folder of chips",
        "curation/api/importing.py",
        '    if "://" in str(source):\n',
        "    if False:\n",
        ("tests/api/test_wrong_inputs.py::test_a_source_that_is_no_dataset[url]",),
    ),
    Mutant(
        "fewer tars than readers are warned of",
        "curation/api/viewed.py",
        "if count < readers:",
        "if False:",
        ("tests/pack/export/test_views.py::test_a_dry_run_says_how_much_and_writes_nothing",),
    ),
    Mutant(
        "no place is of two Earths",
        "curation/api/folder.py",
        "        if len(asked) > 1:",
        "        if False:",
        ("tests/api/test_earth.py::test_a_harder_earth_is_another_catalog_and_no_place_has_both",),
    ),
    Mutant(
        "a page that cannot be written is told before anything is made",
        "curation/api/distance.py",
        "            target.check_writable()\n",
        "            pass\n",
        ("tests/worth/distance/test_compare.py::test_a_page_that_cannot_be_written_is_told_before_anything_is_made",),
    ),
)
