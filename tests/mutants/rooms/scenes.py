"""Guards of `scenes`."""

from tests.mutants.row import STORAGE, Mutant

ROWS = (
    Mutant(
        "a scene that says nothing of its orbit is not taken for a precise one",
        "curation/scenes/rank.py",
        "    return scene.orbit_source == PRECISE_ORBIT",
        "    return scene.orbit_source in (None, PRECISE_ORBIT)",
        ("tests/build/test_orbits.py::test_a_scene_that_says_nothing_of_its_orbit_is_not_taken_for_a_precise_one",),
    ),
    Mutant(
        "scenes of other orbits are not used where precise ones are wanted",
        "curation/scenes/candidates.py",
        "                mine = rank.precise(mine)",
        "                pass",
        (
            "tests/build/test_orbits.py"
            "::test_a_recipe_that_wants_precise_orbits_takes_no_other_nor_the_direction_that_has_none",
        ),
    ),
    Mutant(
        "a place does not keep to an orbit direction that has no precise orbit",
        "curation/scenes/candidates.py",
        "[s for s in found if rank.is_precise(s)] if dataset.wants_precise(spec.name) else found",
        "found",
        (
            "tests/build/test_orbits.py"
            "::test_a_recipe_that_wants_precise_orbits_takes_no_other_nor_the_direction_that_has_none",
        ),
    ),
    Mutant(
        "a version of the last days is not the season's",
        "curation/scenes/rank.py",
        "key=lambda version: orbits[version] < least)",
        "key=lambda version: False)",
        (
            "tests/scenes/test_rank.py"
            "::test_the_newest_version_that_has_half_of_the_orbits_comes_first_and_none_is_mixed",
        ),
    ),
    Mutant(
        "names that differ by their spelling are one name",
        "curation/scenes/items.py",
        "    return None if found is None else spelt(found)",
        "    return found",
        ("tests/scenes/test_spelling.py::test_one_acquisition_processed_again_is_one_however_its_names_are_written",),
    ),
    Mutant(
        "a filter on text is not one on its case",
        "curation/scenes/items.py",
        "_OPERATORS[op](spelling.folded(value), spelling.folded(want))",
        "_OPERATORS[op](value, want)",
        ("tests/scenes/test_spelling.py::test_a_filter_on_text_does_not_drop_another_case_of_it",),
    ),
    Mutant(
        "a next link that leads back is not followed for ever",
        "curation/scenes/paging.py",
        "    if asked.mark in seen:",
        "    if False:",
        (
            "tests/scenes/test_paging.py"
            "::test_paging_without_an_end_fails_the_search_by_name_and_is_not_tried_again[same]",
        ),
    ),
    Mutant(
        "pages that bring nothing new have an end",
        "curation/scenes/paging.py",
        "    if idle >= MOST_IDLE:",
        "    if False:",
        ("tests/scenes/test_paging.py::test_paging_without_an_end_fails_the_search_by_name_and_is_not_tried_again",),
    ),
    Mutant(
        "an empty page is none of an answer's ends",
        "curation/scenes/paging.py",
        "        if asked is None:\n            return\n        why",
        "        if asked is None or not _listed(page):\n            return\n        why",
        ("tests/scenes/test_paging.py::test_pages_are_followed_whatever_leads_to_them_also_past_empty_ones",),
    ),
    Mutant(
        "a search that has no end is not taken for a whole one",
        "curation/scenes/paging.py",
        "if why and matched is not None and len(names) >= matched:",
        "if why and matched is not None:",
        ("tests/scenes/test_paging.py::test_paging_without_an_end_is_one_where_all_that_match_are_there",),
    ),
    Mutant(
        "no more of an answer is unpacked than was asked for",
        "curation/scenes/paging.py",
        "        if size > MOST_ANSWER_BYTES:",
        "        if False:",
        (
            "tests/scenes/test_paging.py"
            "::test_an_answer_that_unpacks_to_more_than_was_asked_for_ends_by_name_before_it_fills_memory[200]",
        ),
    ),
    Mutant(
        "an item that was lost and could not have been chosen fails nothing",
        "curation/scenes/candidates.py",
        "[u for u in self.unread if u.time is None or may_be(u.time)]",
        "list(self.unread)",
        ("tests/build/test_walk.py::test_a_lost_partner_too_far_in_time_to_be_chosen_leaves_a_gap_a_gap",),
    ),
    Mutant(
        "an item that was lost and may have been chosen is told",
        "curation/scenes/candidates.py",
        "[u for u in self.unread if u.time is None or may_be(u.time)]",
        "[u for u in self.unread if u.time is not None and may_be(u.time)]",
        ("tests/build/test_walk.py::test_a_lost_partner_of_no_time_might_have_been_chosen",),
    ),
    Mutant(
        "what lets one into a catalog is sent to no other origin",
        "curation/scenes/session.py",
        "if _origin(str(request.url)) != self._origin:",
        "if not self._origin:",
        ("tests/scenes/test_session.py::test_what_lets_one_in_is_sent_to_the_catalogs_own_origin_and_to_no_other",),
    ),
    Mutant(
        "a catalog is sent nothing of a netrc file",
        "curation/scenes/session.py",
        "self.auth = auth or _as_it_is ",
        "self.auth = auth ",
        ("tests/scenes/test_session.py::test_what_a_netrc_file_has_is_sent_to_nobody",),
    ),
    Mutant(
        "where a catalog redirects nothing of a netrc file is sent",
        "curation/scenes/session.py",
        "    def rebuild_auth(",
        "    def rebuilt_auth(",
        ("tests/scenes/test_session.py::test_what_a_netrc_file_has_is_sent_to_nobody",),
    ),
    Mutant(
        "a URL of a catalog's origin does not become a path of this machine",
        "curation/scenes/items.py",
        "return below if hrefs.is_relative(below) else href",
        "return below if below else href",
        (
            "tests/scenes/test_items.py::test_no_url_becomes_a_path_of_this_machine",
            "tests/scenes/test_spelling.py"
            "::test_a_relative_href_is_a_reference_and_what_is_told_from_the_base_leads_back_there",
        ),
    ),
    Mutant(
        "a link of a catalog is no path of this machine",
        "curation/scenes/api.py",
        'if hrefs.scheme_of(href or "") not in hrefs.SERVERS:',
        "if False:",
        ("tests/store/test_hrefs.py::test_no_link_of_a_catalog_makes_anybody_read_a_file_of_this_machine",),
    ),
    Mutant(
        "a certificate that is not trusted is not asked for again",
        "curation/scenes/session.py",
        "        if error is not None and trust.refused(error):\n            raise error\n",
        "",
        (
            "tests/store/test_trust.py::test_a_certificate_that_is_not_trusted_is_one_line_that_says_what_to_set_after_one_try",
        ),
    ),
    Mutant(
        "a catalog that is not there is told at once",
        "curation/scenes/api.py",
        "    check_reached(catalog)\n",
        "",
        ("tests/scenes/test_session.py::test_where_nobody_is_there_a_build_ends_within_seconds_with_one_line",),
    ),
    Mutant(
        "a place whose scene cannot be read is not told to have none",
        "curation/scenes/candidates.py",
        "unseen = () if lost is None else lost.unread",
        "unseen = ()",
        (
            "tests/scenes/test_unreadable.py::test_a_place_whose_only_scene_cannot_be_read_fails_with_that_and_is_tried_again",
        ),
    ),
    Mutant(
        "a search that met unreadable items is made again",
        "curation/scenes/saved.py",
        " | ({_UNREADABLE: len(found.unreadable)} if found.unreadable else {})",
        "",
        (
            "tests/scenes/test_unreadable.py::test_a_place_whose_only_scene_cannot_be_read_fails_with_that_and_is_tried_again",
        ),
    ),
    Mutant(
        "an item that cannot be read has a code of its own",
        "curation/scenes/candidates.py",
        "return Reject(Code.UNREADABLE_ITEM,",
        "return Reject(Code.NO_SCENE,",
        (
            "tests/scenes/test_unreadable.py::test_a_place_whose_only_scene_cannot_be_read_fails_with_that_and_is_tried_again",
        ),
    ),
    Mutant(
        "what an item that cannot be read cost is tried again",
        "curation/scenes/candidates.py",
        "return Candidates(code=Code.UNREADABLE_ITEM, cause=_cause(left), status=Status.FAILED,",
        "return Candidates(code=Code.UNREADABLE_ITEM, cause=_cause(left), status=Status.ABSENT,",
        ("tests/scenes/test_unreadable.py::test_a_dem_that_cannot_be_read_is_not_told_as_sea",),
    ),
    Mutant(
        "a few per cent of items that cannot be read are told",
        "curation/scenes/unreadable.py",
        "count <= MOST_UNREADABLE * items",
        "count <= items",
        (
            "tests/scenes/test_unreadable.py::test_a_catalog_is_told_as_unreadable_where_more_than_a_few_per_cent_of_its_items_are",
        ),
    ),
    Mutant(
        "a search that cannot be saved fails no patch",
        "curation/scenes/saved.py",
        "    except (ConfigError, StorageError):",
        "    except ConfigError:",
        (f"{STORAGE}a_search_that_cannot_be_saved_ends_the_run_and_fails_no_patch",),
    ),
    Mutant(
        "a relative href of an item in a bucket leads into that bucket",
        "curation/scenes/items.py",
        "    if hrefs.scheme_of(address) not in hrefs.BUCKETS:",
        "    if True:",
        ("tests/scenes/test_spelling.py::test_a_relative_href_of_an_item_in_a_bucket_leads_into_that_bucket",),
    ),
    Mutant(
        "a place has the scenes of its own window",
        "curation/scenes/candidates.py",
        "        window = its.window(place)\n        if window is None:",
        "        window = next(w for p in places if (w := its.window(p)))\n        if window is None:",
        ("tests/cubes/test_windows.py::test_each_location_is_built_from_its_own_days",),
    ),
    Mutant(
        "a place without a date is told so",
        "curation/scenes/candidates.py",
        "Candidates(code=Code.NO_DATE, status=Status.ABSENT)",
        "Candidates(code=Code.NO_SCENE, status=Status.ABSENT)",
        ("tests/cubes/test_windows.py::test_each_location_is_built_from_its_own_days",),
    ),
    Mutant(
        "each window of a cell is searched",
        "curation/scenes/candidates.py",
        "(cell_of(p), tuple(p.columns[c] for c in sorted(dates))): p",
        "(cell_of(p), ()): p",
        (
            "tests/scenes/test_candidates.py::test_each_distinct_window_of_a_cell_is_one_search_and_none_is_wider_than_a_place_s_own",
        ),
    ),
    Mutant(
        "fields of items are not believed before they come to the same as whole items",
        "curation/scenes/fields.py",
        "if not more and few.items <= proven and",
        "if not more and",
        ("tests/scenes/test_fields.py::test_a_catalog_that_offers_it_and_does_otherwise_loses_nothing",),
    ),
    Mutant(
        "hrefs and footprints are compared, too",
        "curation/scenes/fields.py",
        "[f.to_json() for f in few.found] == [f.to_json() for f in whole.found]",
        "few.found == whole.found",
        ("tests/scenes/test_fields.py::test_a_catalog_that_offers_it_and_does_otherwise_loses_nothing[moved]",),
    ),
    Mutant(
        "what was not asked for and is looked at is asked for",
        "curation/scenes/fields.py",
        "        more = few.looked - looked",
        "        more = few.looked - few.looked",
        ("tests/scenes/test_fields.py::test_what_an_item_refers_to_by_its_own_address_is_asked_for_when_it_is_needed",),
    ),
    Mutant(
        "an item that cannot be read without the rest of it is read whole",
        "curation/scenes/fields.py",
        " and not any(f.unreadable for f in few.found)",
        "",
        ("tests/scenes/test_fields.py::test_an_item_that_is_trimmed_too_far_later_on_is_read_whole",),
    ),
    Mutant(
        "an item beside a cell is none of that cell's, however many were asked for together",
        "curation/scenes/items.py",
        "if shape is not None and not shape.intersects(area):",
        "if False:",
        ("tests/scenes/test_together.py::test_cells_asked_for_together_find_what_each_finds_alone",),
    ),
    Mutant(
        "what is too much for a catalog is asked for in smaller pieces",
        "curation/scenes/api.py",
        "kind = TooMuchError if refused or status in _OVERWORKED else CurationError",
        "kind = CurationError",
        ("tests/scenes/test_together.py::test_what_is_too_much_for_a_catalog_is_asked_for_cell_by_cell",),
    ),
    Mutant(
        "a table that changes while it is read by range is no mixture of two",
        "curation/scenes/remotefile.py",
        "self._name, self._version).data",
        "self._name).data",
        ("tests/scenes/test_remotefile.py::test_a_table_that_changes_while_it_is_read_is_an_error",),
    ),
    Mutant(
        "what a footer says lies behind the end of its file is not asked for",
        "curation/scenes/remotefile.py",
        "(max(start, 0), min(start + length, self._size)) for start, length in ranges",
        "(start, start + length) for start, length in ranges",
        (
            "tests/scenes/test_remotefile.py"
            "::test_columns_are_asked_for_some_at_a_time_and_those_near_each_other_as_one",
        ),
    ),
    Mutant(
        "of a table elsewhere nothing is held once it is read",
        "curation/scenes/remotefile.py",
        "            self._ahead = []  # there",
        "            pass  # there",
        ("tests/scenes/test_remotefile.py::test_a_table_elsewhere_gives_what_it_gives_here_of_a_part_of_its_bytes",),
    ),
    Mutant(
        "what several ranges have in common is fetched once",
        "curation/scenes/remotefile.py",
        "start = max(first, out[-1][1]) if out else first",
        "start = first",
        ("tests/scenes/test_remotefile.py::test_what_is_fetched_for_some_ranges_holds_each_of_their_bytes_once",),
    ),
    Mutant(
        "a file elsewhere that cannot be read is not told as no table",
        "curation/scenes/itemtable.py",
        "        except ReadError:  # of a file elsewhere: says what it is\n            raise\n",
        "",
        ("tests/scenes/test_remotefile.py::test_a_server_that_keeps_failing_is_an_error_and_no_empty_answer",),
    ),
    Mutant(
        "a row group in which an item states no time is not left out by the times of others",
        "curation/scenes/itemtable.py",
        " or not stats.has_null_count or stats.null_count",
        "",
        (
            "tests/scenes/test_snapshot.py"
            "::test_an_item_without_a_time_of_its_own_is_found_by_when_it_started_whatever_lies_beside_it",
        ),
    ),
    Mutant(
        "an item of a table that states no collection is looked at",
        "curation/scenes/itemtable.py",
        ' | pc.field("collection").is_null()',
        "",
        (
            "tests/scenes/test_snapshot.py"
            "::test_an_item_of_a_table_that_does_not_say_of_which_collection_it_is_is_looked_at",
        ),
    ),
    Mutant(
        "a time that no calendar has is no other time",
        "curation/scenes/itemtable.py",
        "column = pc.if_else(known, column, pa.scalar(None, column.type))",
        "del known",
        ("tests/scenes/test_snapshot.py::test_a_time_that_no_calendar_has_costs_its_item_alone",),
    ),
    Mutant(
        "what each asset of a table states of its own is read where the form asks for it",
        "curation/scenes/snapshot.py",
        "whole = keys if reads_each_asset(form, self.catalog) else keys[:1]",
        "whole = keys[:1]",
        ("tests/scenes/test_snapshot.py::test_a_table_says_of_a_recorded_item_what_the_item_says_in_each_form",),
    ),
    Mutant(
        "a place of a bucket that is called as a file is all that lies below it",
        "curation/scenes/snapshot.py",
        " or Store(parent).head(name) is None",
        "",
        ("tests/scenes/test_remotefile.py::test_a_folder_of_a_bucket_is_one_snapshot",),
    ),
    Mutant(
        "of the searches of a sweep the cells alone are kept",
        "curation/scenes/snapshot.py",
        "        for query in queries:\n            alike = by",
        "        for query in list(queries):\n            alike = by",
        ("tests/scenes/test_snapshot.py::test_of_the_searches_of_a_sweep_nothing_is_kept_but_their_cells",),
    ),
    Mutant(
        "an error that goes to workers is without what caused it",
        "curation/scenes/saved.py",
        "        err.__cause__ = err.__context__ = None\n",
        "",
        (
            "tests/scenes/test_saved.py::test_an_error_of_a_search_goes_to_workers_with_what_may_be_told_and_nothing_else",
        ),
    ),
    Mutant(
        "what is of a media type that is not read is refused before it is read",
        "curation/scenes/items.py",
        '    media.check(first.get("type"))\n',
        "",
        (
            "tests/scenes/test_items.py"
            "::test_an_item_whose_files_are_of_a_kind_that_is_not_read_is_refused_by_its_media_type",
        ),
    ),
    Mutant(
        "an item without a polarisation is whole and not wanted, whatever is said beside its images",
        "curation/scenes/items.py",
        'b.partition(":")[0] for b in bands',
        "b for b in bands",
        ("tests/scenes/test_items.py::test_a_grd_item_of_another_polarisation_is_whole_and_not_wanted",),
    ),
    Mutant(
        "labels of another tile are of another image",
        "curation/scenes/acquisition.py",
        "    if label.tile is not None and label.tile != scene.tile:\n        return False\n",
        "",
        ("tests/scenes/test_acquisition.py::test_another_tile_or_another_start_is_another_image",),
    ),
    Mutant(
        "labels of another datatake are of another image",
        "curation/scenes/acquisition.py",
        "        return label.start == scene.start\n",
        "        return True\n",
        ("tests/scenes/test_acquisition.py::test_another_tile_or_another_start_is_another_image",),
    ),
    Mutant(
        "the next orbit is another datatake",
        "curation/scenes/acquisition.py",
        "-ROUNDED_S <= (scene.sensed - label.start).total_seconds() <= DATATAKE_S",
        "True",
        (
            "tests/scenes/test_acquisition.py::test_times_of_sensing_lie_minutes_from_the_datatake_in_real_items_and_still_match",
        ),
    ),
    Mutant(
        "maps are matched by what their names tell",
        "curation/scenes/rank.py",
        "    if its.start is None and image.start is None:\n",
        "    if True:\n",
        (
            "tests/scenes/test_rank.py"
            "::test_a_map_that_earth_engine_names_is_of_the_image_that_was_sensed_minutes_later",
        ),
    ),
    Mutant(
        "what an item states tells its image where its name does not",
        "curation/scenes/acquisition.py",
        "named.tile or scene.tile",
        "named.tile",
        (
            "tests/scenes/test_rank.py"
            "::test_a_map_that_earth_engine_names_is_of_the_image_that_was_sensed_minutes_later",
        ),
    ),
    Mutant(
        "other names of acquisitions that both state are of two",
        "curation/scenes/rank.py",
        "        return scene.datatake == of.datatake\n",
        "        if scene.datatake == of.datatake:\n            return True\n",
        ("tests/scenes/test_rank.py::test_what_both_state_to_name_their_acquisition_decides",),
    ),
    Mutant(
        "tiles of the first nine zones are one however they are written",
        "curation/scenes/spelling.py",
        "found[1].zfill(5)",
        "found[1]",
        ("tests/scenes/test_acquisition.py::test_tiles_of_the_first_nine_zones_are_one_however_they_are_written",),
    ),
    Mutant(
        "parts of other weeks are not opened",
        "curation/scenes/snapshot.py",
        "isinstance(p, _Collection) or p.may_hold(window)]",
        "True]",
        ("tests/scenes/test_itemtable.py::test_parts_whose_names_tell_of_other_weeks_are_never_opened",),
    ),
    Mutant(
        "two dates in a name are not when its items are",
        "curation/scenes/itemtable.py",
        "_NAMED.fullmatch(name)",
        "_NAMED.search(name)",
        ("tests/scenes/test_itemtable.py::test_spans_are_told_by_names_alone",),
    ),
    Mutant(
        "of a file here its content is believed, not its name",
        "curation/scenes/snapshot.py",
        "[ItemTable(str(p), functools.partial(Path, p)) for p in parts]",
        "[ItemTable(str(p), functools.partial(Path, p), span_of(p.name)) for p in parts]",
        ("tests/scenes/test_itemtable.py::test_of_a_file_here_its_content_is_believed_whatever_it_is_called",),
    ),
    Mutant(
        "how many files are passed over by name is told",
        "curation/scenes/snapshot.py",
        "        if window is not None and 0 < len(parts) < len(self._parts):",
        "        if False:",
        ("tests/scenes/test_itemtable.py::test_parts_whose_names_tell_of_other_weeks_are_never_opened",),
    ),
    Mutant(
        "a collection is looked for in several files at a time",
        "curation/scenes/snapshot.py",
        "            _open([p for p in some if isinstance(p, ItemTable)])\n",
        "",
        ("tests/scenes/test_itemtable.py::test_a_collection_that_is_missing_is_looked_for_in_several_files_at_a_time",),
    ),
    Mutant(
        "an item may lie outside of what its part is called by",
        "curation/scenes/itemtable.py",
        "more = max(last - first, _DAY)",
        "more = dt.timedelta(0)",
        ("tests/scenes/test_itemtable.py::test_what_lies_in_a_named_span_is_never_passed_by",),
    ),
    Mutant(
        "a collection is known of each item where statistics do not tell",
        "curation/scenes/itemtable.py",
        '_extremes(its, group, "collection") or ("", None)',
        '_extremes(its, group, "collection") or ("", "")',
        ("tests/scenes/test_itemtable.py::test_collections_that_statistics_tell_are_not_read",),
    ),
    Mutant(
        "a snapshot that ends before what is asked for says so",
        "curation/scenes/snapshot.py",
        "        if not parts and window is not None:\n",
        "        if False:\n",
        ("tests/scenes/test_itemtable.py::test_a_snapshot_that_ends_before_what_is_asked_for_says_so",),
    ),
    Mutant(
        "a value that is no JSON costs its item, and not the page that orjson would refuse",
        "curation/scenes/api.py",
        "= jsontext.parsed(txt)",
        "= super().json_loads(txt)",
        ("tests/scenes/test_api.py::test_a_value_that_is_none_costs_its_item_alone_and_no_page",),
    ),
    Mutant(
        "a byte that is no UTF-8 costs its item, and not its page or file",
        "curation/scenes/jsontext.py",
        'decode("utf-8", "surrogateescape")',
        'decode("utf-8")',
        (
            "tests/scenes/test_api.py::test_a_value_that_is_none_costs_its_item_alone_and_no_page",
            "tests/scenes/test_snapshot.py::test_a_value_that_is_none_costs_its_item_alone_and_no_file",
        ),
    ),
    Mutant(
        "a number of more digits than Python takes costs its item",
        "curation/scenes/jsontext.py",
        ", parse_int=_int",
        "",
        ("tests/scenes/test_api.py::test_a_value_that_is_none_costs_its_item_alone_and_no_page",),
    ),
    Mutant(
        "an address that no text can say is no href",
        "curation/scenes/items.py",
        "if not _encodes(absolute):",
        "if False:",
        ("tests/scenes/test_api.py::test_a_value_that_is_none_costs_its_item_alone_and_no_page",),
    ),
    Mutant(
        "an acquisition in two tiles is one step",
        "curation/scenes/rank.py",
        "            its.append(scene)\n",
        "            groups.append([scene])\n",
        (
            "tests/scenes/test_rank.py::test_of_two_tiles_of_an_acquisition_that_of_the_zone_comes_first_and_ids_tell_the_datatake_too",
        ),
    ),
)
