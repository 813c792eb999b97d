"""Removes each guard of a table, one at a time, and shows that the tests named there notice: `python -m tests.mutants`.

A guard is a check whose absence lets wrong data through in silence; a test that passes without it holds nothing. Each is
removed in a copy of the tree, never in place. It is an error where the text of a guard is not there exactly once (the code
has moved on: the table has to, too), where a named test does not pass on the unchanged copy, and where all pass without it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("curation", "tests", "stac_queries", "manifests", "shards/README.md", "pyproject.toml", "README.md", "LICENSE")
"""What tests need of the tree."""
HANG_S = 120
"""Seconds that one test may take: one that hangs without its guard fails, and so says that it has noticed."""
LIMIT_S = 900
"""Seconds that the tests of one guard may take; what cannot be interrupted is cut off here, and has noticed nothing."""
ROOM_BYTES = 16 << 30
"""Of addresses that a process of theirs may have: one that would fill the machine without its guard fails instead."""
PASSED, FAILED = 0, 1
"""What pytest ends with; all else (nothing collected, a usage error, a crash) says nothing of a guard."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard, how it is removed, and who must notice."""

    guard: str
    """What it guards against, in a few words."""
    file: str
    """Below the tree."""
    find: str
    """Its text, which is there exactly once."""
    replacement: str
    """What stands there without it."""
    tests: tuple[str, ...]
    """Node ids, of which at least one must fail."""


HOSTILE = "tests/stream/test_hostile.py::test_"
"""What most tests of hostile input begin with."""
STORAGE, STOPPING = (f"tests/{name}.py::test_" for name in ("store/test_full", "work/test_stopping"))

TABLE = (
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
        "a tile that is not there is sea only where there is sea",
        "curation/places/ocean.py",
        "    return not land.is_land(lon + across, np.clip(lat + along, -90, 90)).any()",
        "    return True",
        ("tests/places/test_ocean.py::test_where_no_tile_is_there_land_and_lakes_are_not_at_zero_metres",),
    ),
    Mutant(
        "sea is not sure near the coast",
        "curation/places/ocean.py",
        "np.arange(-1, 2) * MARGIN_DEG)",
        "np.arange(1) * MARGIN_DEG)\n    across = across * 0",
        ("tests/places/test_ocean.py::test_sea_is_not_sure_within_a_kilometre_of_the_coast",),
    ),
    Mutant(
        "what no tile reaches counts as missing where it is no sea",
        "curation/build/picks/mosaic.py",
        "            void = empty & ~sea\n",
        "",
        (
            "tests/places/test_ocean.py::test_a_patch_beside_a_tile_that_is_missing_keeps_nodata_where_there_is_no_sea[0.999]",
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
        "what another Earth rendered is not taken for this one's",
        "curation/embedded/archive/mark.py",
        'path.read_bytes() + b"\\n")',
        'b"")',
        ("tests/embedded/archive/test_mark.py::test_the_mark_changes_with_what_renders_and_with_nothing_else",),
    ),
    Mutant(
        "an Earth drawn from another table is another",
        "curation/embedded/archive/mark.py",
        "(path for path in beside if path.is_file())",
        "()",
        ("tests/embedded/archive/test_mark.py::test_the_mark_changes_with_what_renders_and_with_nothing_else",),
    ),
    Mutant(
        "the Earth's API refuses a search that it does not understand",
        "curation/embedded/service/api.py",
        ', extra="forbid")',
        ")",
        ("tests/embedded/service/test_api.py::test_bad_input_is_a_400",),
    ),
    Mutant(
        "an Earth drawn by other packages is another",
        "curation/embedded/archive/mark.py",
        'found.update(f"{name} {metadata.version(name)}\\n".encode())',
        "pass",
        ("tests/embedded/archive/test_mark.py::test_the_mark_changes_with_the_packages_that_render",),
    ),
    Mutant(
        "a partner is sought beyond the season's window",
        "curation/recipe/dataset.py",
        "if self.specs[source].goes_with is None:",
        "if True:",
        (
            "tests/build/test_walk.py::test_radar_is_sought_beyond_the_seasons_window_as_far_as_it_may_lie_from_its_partner",
        ),
    ),
    Mutant(
        "what says neither yes nor no of the offset is not taken for no",
        "curation/read/radiometry.py",
        '    if said not in ("true", "false", "1", "0", "none"):',
        "    if False:",
        ("tests/scenes/test_spelling.py::test_what_says_neither_yes_nor_no_of_the_offset_is_not_taken_for_no",),
    ),
    Mutant(
        "user and password of a URL are not told",
        "curation/errors/printable.py",
        "        rest = _without_user(rest)\n",
        "        rest = rest + ''\n",
        ("tests/errors/test_printable.py::test_a_url_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "a query is not told where its URL begins elsewhere",
        "curation/errors/printable.py",
        '    text = _QUERY.sub(lambda found: _ended(found[0], lambda query: ""), text)\n',
        "",
        ("tests/errors/test_printable.py::test_a_text_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "a secret that a server repeats is not told",
        "curation/errors/printable.py",
        "    for secret in known:\n",
        "    for secret in ():\n",
        (
            "tests/errors/test_printable.py::test_a_secret_that_the_command_was_given_is_not_told_where_a_server_repeats_it",
        ),
    ),
    Mutant(
        "a worker does not get what lets one into a catalog",
        "curation/recipe/catalogs.py",
        "        return (Catalog, (self.identity, self.form, self.location, self.is_file, self.own))",
        "        return (Catalog, (self.identity, self.form, self.location, self.is_file, self.own, self.given))",
        ("tests/errors/test_printable.py::test_a_catalog_is_called_and_kept_without_its_secrets_which_no_worker_gets",),
    ),
    Mutant(
        "a catalog is called and kept without its secrets",
        "curation/recipe/catalogs.py",
        'told = unsigned(url).rstrip("/")',
        'told = url.rstrip("/")',
        ("tests/errors/test_printable.py::test_a_catalog_is_called_and_kept_without_its_secrets_which_no_worker_gets",),
    ),
    Mutant(
        "what lets one into a catalog is sent to no other origin",
        "curation/scenes/session.py",
        "if _origin(str(request.url)) != self._origin:",
        "if not self._origin:",
        ("tests/scenes/test_session.py::test_what_lets_one_in_is_sent_to_the_catalogs_own_origin_and_to_no_other",),
    ),
    Mutant(
        "an href leads to no file outside of where such may lie",
        "curation/store/hrefs.py",
        "        if not any(_is_below(path, folder) for folder in below):",
        "        if False:",
        (
            "tests/store/test_hrefs.py::test_no_href_leads_to_a_file_of_this_machine_outside_the_catalogs_folder",
            "tests/store/test_hrefs.py::test_a_catalog_makes_no_build_read_a_file_of_this_machine_and_nothing_of_it_is_told",
        ),
    ),
    Mutant(
        "no scheme but those of servers and buckets is opened",
        "curation/store/hrefs.py",
        'if "://" in href and scheme != "file":',
        "if False:",
        (
            "tests/store/test_hrefs.py::"
            "test_a_scheme_of_neither_servers_nor_buckets_is_told_as_that_whatever_folders_may_be_read",
        ),
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
        "a link within a file to another file is not followed",
        "curation/read/variables.py",
        "        if isinstance(link, h5py.ExternalLink):",
        "        if False:",
        ("tests/store/test_hrefs.py::test_a_link_within_a_file_to_another_file_is_not_followed",),
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
        "ranges trust whom the environment names",
        "curation/read/http.py",
        '{"maxsize": per_host, "block": True, "ssl_context": trusted}',
        '{"maxsize": per_host, "block": True}',
        ("tests/store/test_trust.py::test_a_ca_that_any_variable_names_is_trusted_by_all_whatever_the_others_name",),
    ),
    Mutant(
        "object stores trust whom the environment names",
        "curation/store/bucket.py",
        "        with trust.for_rustls():",
        "        if True:",
        ("tests/store/test_trust.py::test_a_ca_that_any_variable_names_is_trusted_by_all_whatever_the_others_name",),
    ),
    Mutant(
        "no other scene stands in where a certificate is not trusted",
        "curation/build/context.py",
        "not isinstance(err, PassingError | TrustError)",
        "not isinstance(err, PassingError)",
        ("tests/store/test_trust.py::test_no_other_scene_stands_in_where_a_certificate_is_not_trusted",),
    ),
    Mutant(
        "a catalog that is not there is told at once",
        "curation/scenes/api.py",
        "    check_reached(catalog)\n",
        "",
        ("tests/scenes/test_session.py::test_where_nobody_is_there_a_build_ends_within_seconds_with_one_line",),
    ),
    Mutant(
        "a root that is not there is told at once",
        "curation/api/folder.py",
        "            store.check_answers()\n",
        "",
        ("tests/scenes/test_session.py::test_a_root_that_nobody_answers_for_is_one_line_within_seconds",),
    ),
    Mutant(
        "a server that ignores If-Match does not mix two contents",
        "curation/read/ranges.py",
        "    if version and mark != version:\n        raise ChangedError(_CHANGED)\n    return Answer(data, size, mark)",
        "    return Answer(data, size, mark)",
        ("tests/read/test_changed.py::test_a_server_that_ignores_if_match_and_gives_another_content_is_noticed",),
    ),
    Mutant(
        "kept pixels are those recorded",
        "curation/build/slab.py",
        "            if slot not in stored or arrays.chunk_hash(stored[slot]) != expected:",
        "            if slot not in stored:",
        ("tests/cubes/test_row_hashes.py::test_pixels_that_decode_and_are_others_are_damage",),
    ),
    Mutant(
        "kept facts are those recorded",
        "curation/build/slab.py",
        "here.proven_facts(job.store, job.prior, ids)",
        "here.read_facts(job.store, job.slab, len(ids))",
        ("tests/cubes/test_row_hashes.py::test_facts_that_decode_and_are_others_are_damage",),
    ),
    Mutant(
        "facts that are read are those recorded",
        "curation/cubes/cube.py",
        "        if wrong:\n            keys",
        "        if False:\n            keys",
        ("tests/cubes/test_row_hashes.py::test_damage_in_facts_is_not_made_official_by_a_build_of_more_patches",),
    ),
    Mutant(
        "a row's hash is of all its facts",
        "curation/cubes/cube.py",
        "for f in self.facts]\n        return [xxhash",
        "for f in self.facts[:5]]\n        return [xxhash",
        ("tests/cubes/test_cube.py::test_a_row_s_hash_is_of_its_values_alone_and_of_all_of_them",),
    ),
    Mutant(
        "pixels that are read are those recorded",
        "curation/cubes/cube.py",
        "if (found := chunk_hash(chunk)) != expected:",
        'if (found := "") != "":',
        ("tests/cubes/test_cube.py::test_a_chunk_that_is_not_what_was_committed_is_refused",),
    ),
    Mutant(
        "chunks of pixels and numbers end with a checksum",
        "curation/cubes/arrays.py",
        'shuffle="bitshuffle"), Crc32cCodec()',
        'shuffle="bitshuffle"),',
        ("tests/cubes/test_cube.py::test_every_array_of_a_cube_ends_its_chunks_with_a_checksum",),
    ),
    Mutant(
        "chunks of text end with a checksum",
        "curation/cubes/arrays.py",
        "return ZstdCodec(), Crc32cCodec()",
        "return (ZstdCodec(),)",
        ("tests/cubes/test_cube.py::test_every_array_of_a_cube_ends_its_chunks_with_a_checksum",),
    ),
    Mutant(
        "a ledger in another format is refused",
        "curation/store/ledger.py",
        'first.get("format", 1)) != FORMAT:',
        'first.get("format", 1)) != first.get("format", 1):',
        ("tests/store/test_ledger.py::test_a_ledger_in_another_format_is_refused_by_name_with_what_to_do",),
    ),
    Mutant(
        "a lost ledger line is seen",
        "curation/store/ledger.py",
        'if not data.endswith(b"\\n") or counted != len(records) or digest != found:',
        'if not data.endswith(b"\\n"):',
        ("tests/store/test_ledger.py::test_every_single_lost_line_is_seen",),
    ),
    Mutant(
        "a file that draws depend on is the one released",
        "curation/recipe/atlas/__init__.py",
        "if found != self.sha256:",
        "if False:",
        ("tests/recipe/test_atlas.py::test_a_file_that_is_not_the_one_released_is_refused",),
    ),
    Mutant(
        "the digest of places holds the files that the draw reads",
        "curation/recipe/dataset.py",
        '            **({"atlas": tables} if (tables := self._atlas()) else {}),\n',
        "",
        ("tests/recipe/test_atlas.py::test_other_cities_are_another_digest",),
    ),
    Mutant(
        "a ring across the antimeridian is not the rest of the world",
        "curation/places/regions.py",
        "(np.abs(step) > 180) & (np.abs(step) < _WHOLE_TURN_DEG)",
        "np.abs(step) > 999",
        ("tests/places/test_regions.py::test_a_ring_across_the_antimeridian_is_taken_across_it_and_told",),
    ),
    Mutant(
        "a ring that may run either way is refused",
        "curation/places/regions.py",
        "if bool(shapely.is_ccw(shapely.linearrings(there))) == hole:",
        "if False:",
        ("tests/places/test_regions.py::test_a_ring_that_may_run_either_way_is_refused",),
    ),
    Mutant(
        "a point on an edge of a region is in it",
        "curation/places/regions.py",
        "np.where(np.abs(lon) <= 180.0, lon, (lon + 180.0) % 360.0 - 180.0)",
        "(lon + 180.0) % 360.0 - 180.0",
        ("tests/places/test_regions.py::test_a_bbox_holds_its_own_corners_whatever_their_decimals",),
    ),
    Mutant(
        "no two given places are one sample",
        "curation/places/from_file.py",
        "out.append(again if its in taken else None)",
        "out.append(again if j < k else None)",
        ("tests/places/test_rows.py::test_every_row_is_a_location_or_dropped_with_a_reason",),
    ),
    Mutant(
        "given places outside the regions are accounted for",
        "curation/places/rows.py",
        "        reasons[k] = Code.OUTSIDE_REGIONS\n",
        "        pass\n",
        ("tests/places/test_rows.py::test_every_row_is_a_location_or_dropped_with_a_reason",),
    ),
    Mutant(
        "rows that are dropped stand in the release",
        "curation/pack/pack.py",
        "        made.dropped.extend(given.dropped)\n",
        "        pass\n",
        ("tests/pack/test_pack.py::test_rows_of_a_places_file_that_are_no_locations_are_listed_and_counted",),
    ),
    Mutant(
        "an empty point moves no other row",
        "curation/places/from_file.py",
        "    if len(nowhere):",
        "    if False:",
        ("tests/places/test_rows.py::test_an_empty_point_is_refused_and_moves_no_other",),
    ),
    Mutant(
        "a replaced ledger segment is seen",
        "curation/store/ledger.py",
        'if first["segment"] != number or first["prev"] != self.head:',
        "if False:",
        ("tests/store/test_ledger.py::test_a_segment_of_another_history_is_seen",),
    ),
    Mutant(
        "a segment that changes while it is used is seen",
        "curation/store/ledger.py",
        "if hashlib.sha256(data).digest() != self.heads[number]:",
        "if False:",
        (
            "tests/store/test_ledger.py::test_records_are_read_again_however_many_there_are_and_a_change_meanwhile_is_seen",
        ),
    ),
    Mutant(
        "a ledger bound to another recipe is refused",
        "curation/store/ledger.py",
        "            if old != new:",
        "            if False:",
        ("tests/test_pipeline.py::test_another_recipe_is_refused_with_both_values",),
    ),
    Mutant(
        "the index of a Zarr shard is what was written",
        "curation/cubes/zarrshard.py",
        ' or struct.unpack("<I", crc)[0] != google_crc32c.value(packed):',
        ":",
        ("tests/cubes/test_zarrshard.py::test_a_flipped_byte_of_the_index_is_damage",),
    ),
    Mutant(
        "verify reads each chunk",
        "curation/verify/cubes.py",
        "elif slot not in chunks or chunk_hash(chunks[slot]) != outcome.chunks[name]:",
        "elif slot not in chunks:",
        ("tests/verify/test_verify.py::test_a_chunk_swapped_within_its_shard",),
    ),
    Mutant(
        "verify proves each row of facts",
        "curation/verify/cubes.py",
        "if o.id in settled and hashes[o.id] != o.facts}",
        "if False}",
        ("tests/cubes/test_row_hashes.py::test_damage_in_facts_is_not_made_official_by_a_build_of_more_patches",),
    ),
    Mutant(
        "verify compares each object with its digest",
        "curation/verify/found.py",
        "return len(data) == item.size and hashlib.sha256(data).hexdigest() == item.sha256",
        "return len(data) == item.size",
        ("tests/verify/test_verify.py::test_a_flipped_byte_in_a_zarr_object",),
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
        "a DEM that cannot be read is not sea",
        "curation/build/picks/mosaic.py",
        "if spec.hole_value is None or mine.code is not Code.NO_SCENE:",
        "if spec.hole_value is None:",
        ("tests/scenes/test_unreadable.py::test_a_dem_that_cannot_be_read_is_not_told_as_sea",),
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
        "a catalog that cannot be read ends the command with 1",
        "curation/api/results.py",
        "[*self._failures(), *filter(None, [self.unreadable])]",
        "self._failures()",
        (
            "tests/scenes/test_unreadable.py::test_a_catalog_of_which_much_cannot_be_read_ends_with_1_though_nothing_failed",
        ),
    ),
    Mutant(
        "what a task wrote is what is stored",
        "curation/pipeline.py",
        " or stat.etag != receipt.etags[stored.key]:",
        ":",
        ("tests/test_pipeline.py::test_a_task_that_another_writer_overtook_is_not_recorded_as_done",),
    ),
    Mutant(
        "the offset is looked for in pixels",
        "curation/build/picks/clearest.py",
        "        radiometry.check_offset(found, scene.offset_dn)\n",
        "",
        ("tests/build/test_offset.py::test_a_scene_whose_pixels_contradict_its_baseline_is_refused",),
    ),
    Mutant(
        "what cannot be reflectance is refused",
        "curation/build/picks/clearest.py",
        "            radiometry.check_possible(patch.pixels[name], clear, array.nodata)",
        "            pass",
        ("tests/build/test_offset.py::test_what_cannot_be_reflectance_is_refused_and_the_next_scene_is_used",),
    ),
    Mutant(
        "an offset that metadata deny is a conflict",
        "curation/read/radiometry.py",
        "(found is Evidence.IN and not offset) or ",
        "",
        ("tests/read/test_radiometry.py::test_metadata_and_pixels_that_disagree_are_a_conflict_in_both_directions",),
    ),
    Mutant(
        "an offset that is not in the pixels is a conflict",
        "curation/read/radiometry.py",
        " or (found is Evidence.NOT_IN and offset)",
        "",
        ("tests/read/test_radiometry.py::test_metadata_and_pixels_that_disagree_are_a_conflict_in_both_directions",),
    ),
    Mutant(
        "pixels brighter than any surface are counted",
        "curation/read/radiometry.py",
        "if share > MAX_IMPOSSIBLE_FRACTION:",
        "if False:",
        ("tests/read/test_radiometry.py::test_what_is_brighter_than_any_surface_is_refused_with_its_share",),
    ),
    Mutant(
        "what lies under cloud may be bright",
        "curation/read/radiometry.py",
        "seen = (dn != nodata) & clear[np.ix_(rows, cols)]",
        "seen = dn != nodata",
        ("tests/read/test_radiometry.py::test_snow_glint_a_mirror_and_what_lies_under_cloud_are_not_impossible",),
    ),
    Mutant(
        "brightness proves no offset",
        "curation/read/radiometry.py",
        " or max(darkest[BLUE], darkest[RED]) > DARKEST_DN",
        "",
        ("tests/read/test_radiometry.py::test_vegetation_through_haze_proves_no_offset",),
    ),
    Mutant(
        "cloud proves no offset",
        "curation/read/radiometry.py",
        " or clear_fraction < LEAST_CLEAR_FRACTION",
        "",
        ("tests/read/test_radiometry.py::test_what_is_seen_through_cloud_everywhere_proves_no_offset",),
    ),
    Mutant(
        "baselines are compared as versions",
        "curation/read/radiometry.py",
        "versions.order(versions.baseline(baseline)) >= FIRST_WITH_OFFSET",
        'float(baseline.removeprefix("N")) >= FIRST_WITH_OFFSET[0]',
        ("tests/read/test_radiometry.py::test_the_baseline_decides_and_never_the_date",),
    ),
    Mutant(
        "a baseline that might be two is none",
        "curation/read/versions.py",
        '(?P<major>\\d{1,2})\\.(?P<minor>0)"',
        '(?P<major>\\d{1,2})\\.(?P<minor>\\d)"',
        ("tests/read/test_versions.py::test_a_baseline_that_is_none_or_might_be_two_is_refused_by_name",),
    ),
    Mutant(
        "versions are ordered by their numbers",
        "curation/read/versions.py",
        "tuple(int(part) for part in",
        "tuple(part for part in",
        ("tests/read/test_versions.py::test_versions_are_ordered_by_their_numbers_and_not_by_their_letters",),
    ),
    Mutant(
        "doubtful pixels have a limit",
        "curation/build/clouds.py",
        "if self.doubtful > quality.max_doubtful:",
        "if False:",
        ("tests/build/test_clouds.py::test_each_share_has_a_limit_of_its_own",),
    ),
    Mutant(
        "clear pixels have a least share",
        "curation/build/clouds.py",
        "if self.clear < quality.min_clear:",
        "if False:",
        ("tests/build/test_clouds.py::test_each_share_has_a_limit_of_its_own",),
    ),
    Mutant(
        "snow has a limit",
        "curation/build/clouds.py",
        "if self.snow > quality.max_snow:",
        "if False:",
        ("tests/build/test_clouds.py::test_each_share_has_a_limit_of_its_own",),
    ),
    Mutant(
        "valid pixels have a least share",
        "curation/build/clouds.py",
        "if self.valid < min_valid:",
        "if False:",
        ("tests/build/test_clouds.py::test_each_share_has_a_limit_of_its_own",),
    ),
    Mutant(
        "snow counts less than clear ground",
        "curation/build/clouds.py",
        " - (1 - SNOW_WORTH) * self.snow",
        "",
        ("tests/build/test_clouds.py::test_clear_ground_is_better_than_snow_and_snow_than_cloud_or_doubt",),
    ),
    Mutant(
        "a mask of another legend is refused",
        "curation/build/clouds.py",
        "if foreign := sorted(set(codes.tolist()) - set(spec.mask_codes)):",
        "if foreign := []:",
        ("tests/build/test_clouds.py::test_a_code_that_the_source_does_not_know_is_no_cloud_and_no_ground",),
    ),
    Mutant(
        "a mask of nearly all snow comes last",
        "curation/build/clouds.py",
        "return self.snow > MOSTLY_SNOW",
        "return False",
        ("tests/build/test_walk.py::test_a_mask_that_calls_nearly_all_snow_is_believed_only_where_no_other_passes",),
    ),
    Mutant(
        "of equal rank the clearest is taken",
        "curation/build/picks/clearest.py",
        "sorted(measured, key=lambda m: -m.shares.clearness)",
        "measured",
        ("tests/build/test_walk.py::test_of_equal_rank_the_one_whose_mask_is_clearest_is_taken",),
    ),
    Mutant(
        "masks that were not read use up no candidate",
        "curation/build/picks/clearest.py",
        "self._pass_over(scene, self.anchor, err)\n                    continue\n",
        "self._pass_over(scene, self.anchor, err)\n",
        ("tests/build/test_walk.py::test_a_mask_that_could_not_be_read_leaves_its_turn_to_another",),
    ),
    Mutant(
        "what has no partner uses up no candidate",
        "curation/build/picks/clearest.py",
        "self.ruled_out.append((scene, spec, why))",
        "self.ruled_out.append((scene, spec, why))\n                    self.masks += 1",
        ("tests/build/test_walk.py::test_what_has_no_radar_near_enough_uses_up_no_mask",),
    ),
    Mutant(
        "running out of candidates is told apart from cloud",
        "curation/build/picks/clearest.py",
        "        if self.unread:\n",
        "        if False:\n",
        ("tests/build/test_walk.py::test_a_catalog_that_says_zero_cloud_of_all_is_told_apart_from_cloud",),
    ),
    Mutant(
        "the code told is of the candidate that came furthest",
        "curation/build/choice.py",
        "return max(refusals, key=lambda r: r.rank)",
        "return refusals[0]",
        ("tests/build/test_choice.py::test_of_two_the_one_that_came_further_tells_why",),
    ),
    Mutant(
        "what may pass fails the patch",
        "curation/build/context.py",
        "isinstance(err, ReadError) and not isinstance(err, PassingError | TrustError)",
        "isinstance(err, ReadError) and not isinstance(err, TrustError)",
        ("tests/build/test_faults.py::test_no_other_scene_is_taken_for_what_may_pass[503]",),
    ),
    Mutant(
        "radar that may be read later fails the patch",
        "curation/build/picks/nearest.py",
        ("            if not is_lasting(err, slab):\n                raise\n"),
        "",
        ("tests/build/test_walk.py::test_radar_that_may_be_read_later_fails_the_patch",),
    ),
    Mutant(
        "a recipe may ask for failing instead",
        "curation/build/context.py",
        "return wants_next and isinstance",
        "return isinstance",
        ("tests/build/test_walk.py::test_a_recipe_may_want_a_patch_to_fail_for_what_cannot_be_read",),
    ),
    Mutant(
        "what is passed over stands in the ledger",
        "curation/build/picks/clearest.py",
        ("            note_passed_over(self.slab, self.patch, self.anchor, scene, err)\n"),
        "",
        ("tests/build/test_walk.py::test_a_mask_that_is_gone_is_passed_over_and_the_summary_says_so",),
    ),
    Mutant(
        "excluded scenes are not used",
        "curation/build/picks/clearest.py",
        "wanted = [s for s in batch if s.id not in self.slab.excluded]",
        "wanted = list(batch)",
        ("tests/build/test_walk.py::test_what_is_excluded_is_never_used_and_changes_nothing_else",),
    ),
    Mutant(
        "excluding changes nothing for other patches",
        "curation/build/picks/clearest.py",
        "            self.masks += len(batch) - len(wanted)\n",
        "",
        ("tests/build/test_walk.py::test_what_is_excluded_is_never_used_and_changes_nothing_else",),
    ),
    Mutant(
        "excluded partners are not used",
        "curation/build/context.py",
        "left = [s for s in every if s.id not in slab.excluded]",
        "left = every",
        ("tests/build/test_walk.py::test_where_all_that_might_be_used_is_excluded_that_is_the_reason",),
    ),
    Mutant(
        "what an excluded scene would have is no sea",
        "curation/build/picks/mosaic.py",
        "if len(scenes) < len(mine.scenes):",
        "if False:",
        ("tests/build/test_walk.py::test_heights_beside_what_is_excluded_are_no_sea",),
    ),
    Mutant(
        "what a file masks is nodata",
        "curation/read/reader.py",
        "        pixels[~raster.valid(asset.band, inside, raw)] = array.nodata\n",
        "",
        ("tests/read/test_masks.py::test_what_is_masked_is_nodata_before_anything_is_resampled",),
    ),
    Mutant(
        "a mask in the file is read",
        "curation/read/raster.py",
        "        if self._mask is not None:\n            return",
        "        if False:\n            return",
        ("tests/read/test_masks.py::test_what_a_file_declares_valid_is_what_gdal_takes_for_valid",),
    ),
    Mutant(
        "a mask beside the file is read",
        "curation/read/reader.py",
        "Raster(self._file(asset), self._decoded, self._beside(asset))",
        "Raster(self._file(asset), self._decoded)",
        ("tests/read/test_masks.py::test_what_is_masked_is_nodata_before_anything_is_resampled",),
    ),
    Mutant(
        "transparent pixels are nodata",
        "curation/read/raster.py",
        "            valid &= image.read(image.alpha, window)[0] != 0",
        "            pass",
        (
            "tests/read/test_masks.py::test_transparent_pixels_are_missing_beside_a_nodata_value_and_pixels_of_that_value_too",
        ),
    ),
    Mutant(
        "a mask of another size is refused",
        "curation/read/raster.py",
        "if (mask.width, mask.height) != (image.width, image.height):",
        "if False:",
        ("tests/read/test_masks.py::test_a_mask_of_another_size_is_an_error_by_name",),
    ),
    Mutant(
        "a chain of images that leads back is refused",
        "curation/read/directory.py",
        "if at in seen or at >= size or len(seen) >= _MOST_IFDS:",
        "if at in seen:\n            continue\n        if at >= size:",
        ("tests/read/test_masks.py::test_a_chain_that_leads_nowhere_or_back_is_an_error_not_a_file_without_a_mask",),
    ),
    Mutant(
        "zeros that nobody wrote are refused where a mask calls them valid",
        "curation/read/raster.py",
        "elif mask is None or mask[0].read(mask[1], block)[0].any():",
        "elif mask is None:",
        (
            "tests/read/test_masks.py::test_a_block_that_was_never_written_is_an_error_where_a_mask_says_that_it_is_valid",
        ),
    ),
    Mutant(
        "the coarse look leaves out what is masked",
        "curation/read/raster.py",
        "out.append(pixels[self._valid(image, mask, band, window, pixels)])",
        "out.append(pixels.ravel())",
        ("tests/read/test_masks.py::test_the_coarse_look_is_at_the_coarsest_overview_that_is_fine_enough",),
    ),
    Mutant(
        "whatever a catalog or server says is an error of that file",
        "curation/read/ranges.py",
        "    except Exception as err:\n        raise ReadError(f\"{' and",
        "    except ZeroDivisionError as err:\n        raise ReadError(f\"{' and",
        (
            "tests/store/test_hrefs.py::test_a_href_that_cannot_be_read_is_an_error_of_that_file_and_prefetching_goes_on",
        ),
    ),
    Mutant(
        "the host of no URL is none",
        "curation/read/signing.py",
        "        except ValueError:  # no URL; whoever fetches it is told",
        "        except ZeroDivisionError:",
        (
            "tests/store/test_hrefs.py::test_of_a_slab_the_patches_that_need_a_bad_href_fail_with_its_name_and_the_others_are_ok[http://[::1]",
        ),
    ),
    Mutant(
        "a redirect gives its slot back",
        "curation/read/http.py",
        "            response.close()\n            response.release_conn()\n            url = urljoin",
        "            url = urljoin",
        ("tests/read/test_ranges.py::test_redirects_are_followed_and_give_their_slots_back",),
    ),
    Mutant(
        "files of other formats are told by name",
        "curation/read/raster.py",
        "if (other := what_it_is(head.data)) is not None:",
        "if (other := None) is not None:",
        ("tests/read/test_raster.py::test_what_is_no_tiff_is_told",),
    ),
    Mutant(
        "numbers of several bytes are read whole",
        "curation/read/sparse.py",
        'memoryview(into).cast("B")',
        "memoryview(into)",
        ("tests/read/test_raster.py::test_a_file_reads_into_arrays_of_numbers_of_several_bytes",),
    ),
    Mutant(
        "values in other files are refused",
        "curation/read/variables.py",
        "    if elsewhere:\n",
        "    if False:\n",
        ("tests/read/test_swath.py::test_values_that_are_not_in_the_file_or_cannot_be_unpacked_are_refused_by_name",),
    ),
    Mutant(
        "virtual values are refused",
        "curation/read/variables.py",
        '"virtual" if layout == h5py.h5d.VIRTUAL else ""',
        '""',
        ("tests/read/test_swath.py::test_values_that_are_not_in_the_file_or_cannot_be_unpacked_are_refused_by_name",),
    ),
    Mutant(
        "values in a header are read",
        "curation/read/netcdf.py",
        "        if v.is_compact:\n            return True\n",
        "",
        ("tests/read/test_swath.py::test_values_are_the_same_however_they_are_stored",),
    ),
    Mutant(
        "filters that are not here are refused",
        "curation/read/variables.py",
        "if number not in hdfchunk.FILTERS or not h5py.h5z.filter_avail(number):",
        "if False:",
        ("tests/read/test_swath.py::test_values_that_are_not_in_the_file_or_cannot_be_unpacked_are_refused_by_name",),
    ),
    Mutant(
        "radar's floor is no measurement",
        "curation/pack/shard.py",
        "valid = valid[valid != floor[name]]",
        "pass",
        ("tests/pack/test_pack.py::test_radar_below_zero_is_counted_and_moves_no_statistics",),
    ),
    Mutant(
        "pixels at radar's floor are counted",
        "curation/pack/shard.py",
        "        have[5] += floored\n",
        "",
        ("tests/pack/test_pack.py::test_radar_below_zero_is_counted_and_moves_no_statistics",),
    ),
    Mutant(
        "each sample says how much of it is at radar's floor",
        "curation/pack/shard.py",
        '.setdefault("floored_fraction", {})[at.array] = told',
        '.get("floored_fraction")',
        ("tests/pack/test_pack.py::test_radar_below_zero_is_counted_and_moves_no_statistics",),
    ),
    Mutant(
        "decibels have a floor",
        "curation/read/backscatter.py",
        "10 ** (floor_db / 10)",
        "1e-10",
        ("tests/pack/test_pack.py::test_centidb_keeps_nodata_and_writes_what_has_no_logarithm_as_the_floor",),
    ),
    Mutant(
        "exact zeros of radar's borders are nodata",
        "curation/read/reader.py",
        "            if zero_is_nodata:\n",
        "            if False:\n",
        ("tests/read/test_reader.py::test_exact_zeros_become_nodata_where_the_source_says_so",),
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
        "return Candidates(code=Code.UNREADABLE_ITEM, cause=_cause(here), status=Status.FAILED,",
        "return Candidates(code=Code.UNREADABLE_ITEM, cause=_cause(here), status=Status.ABSENT,",
        (
            "tests/scenes/test_unreadable.py::test_a_place_whose_only_scene_cannot_be_read_fails_with_that_and_is_tried_again",
        ),
    ),
    Mutant(
        "a few per cent of items that cannot be read are told",
        "curation/scenes/saved.py",
        "count <= MOST_UNREADABLE * items",
        "count <= items",
        (
            "tests/scenes/test_unreadable.py::test_a_catalog_is_told_as_unreadable_where_more_than_a_few_per_cent_of_its_items_are",
        ),
    ),
    Mutant(
        "finalizers only note",
        "curation/stream/state.py",
        "_descriptors.when_gone(self, os.close, self.handle)",
        "weakref.finalize(self, os.close, self.handle)",
        ("tests/store/test_afterwards.py::test_only_one_finalizer_of_the_package_does_more_than_note",),
    ),
    Mutant(
        "what is noted is not done by the collector",
        "curation/store/afterwards.py",
        "note = Note(thing, self._gone.append)",
        "note = Note(thing, self.now)",
        ("tests/store/test_afterwards.py::test_what_an_object_leaves_is_done_by_who_comes_by_and_once",),
    ),
    Mutant(
        "a fork does nothing of what its parent left",
        "curation/store/afterwards.py",
        "leavings._notes))\n        leavings._begin()",
        "leavings._notes))",
        ("tests/store/test_afterwards.py::test_a_fork_does_nothing_of_what_its_parents_objects_leave",),
    ),
    Mutant(
        "ranks that disagree are a conflict",
        "curation/stream/ranks.py",
        "if len(ranks) > 1 or len(sizes) > 1:",
        "if False:",
        ("tests/stream/test_ranks.py::test_where_they_do_not_say_the_same_all_are_named",),
    ),
    Mutant(
        "the environment says ranks",
        "curation/stream/ranks.py",
        "told = [self._given, _environment()]",
        "told = [self._given]",
        ("tests/stream/test_ranks.py::test_rank_and_world_size_come_from_the_environment_of_torchrun",),
    ),
    Mutant(
        "the rank is asked for when iteration begins",
        "curation/stream/open.py",
        "ranks = Ranks(rank, world_size)",
        "ranks = Ranks(*Ranks(rank, world_size).now())",
        ("tests/stream/test_ranks.py::test_a_dataset_that_is_opened_before_the_process_group_deals_to_its_ranks",),
    ),
    Mutant(
        "dealing a second time is refused",
        "curation/stream/dataset.py",
        "        refuse_sharder()\n        if torch.utils.data.get_worker_info() is None:",
        "        if torch.utils.data.get_worker_info() is None:",
        ("tests/stream/test_ranks.py::test_a_shard_of_accelerate_around_the_dataset_is_refused_with_what_to_do",),
    ),
    Mutant(
        "a dispatcher is refused",
        "curation/stream/ranks.py",
        '    "DataLoaderDispatcher": "reads on the first process alone, and deals that out",\n',
        "",
        ("tests/stream/test_ranks.py::test_a_dispatcher_of_accelerate_around_the_loader_is_refused_with_what_to_do",),
    ),
    Mutant(
        "an iteration is followed by the next epoch",
        "curation/stream/state.py",
        "numbers[[_EPOCH, _START, _IS_SET]] = epoch + 1, 0, 0",
        "numbers[[_EPOCH, _START, _IS_SET]] = epoch, 0, 0",
        ("tests/stream/test_epochs.py::test_an_iteration_is_followed_by_the_next_epoch_without_set_epoch",),
    ),
    Mutant(
        "who counts a cache's shards sees each under one name",
        "curation/stream/cache.py",
        'with self._locked("all"):  # who is counting meanwhile would find neither name',
        "with contextlib.nullcontext():",
        ("tests/stream/test_cache.py::test_a_shard_that_is_whole_waits_for_who_is_counting",),
    ),
    Mutant(
        "a worker's state goes on with the same workers alone",
        "curation/stream/state.py",
        "if loaded is not None and loaded[3] != dealt:",
        "if False:",
        ("tests/stream/test_state.py::test_torchdatas_state_of_workers_is_refused_on_other_ranks_and_batch_sizes",),
    ),
    Mutant(
        "the embedded Earth without its packages is said before it is started",
        "curation/api/folder.py",
        '        extras.check("earth", f"catalog {EMBEDDED}")\n',
        "",
        ("tests/test_dependencies.py::test_the_embedded_earth_without_its_extra_is_one_line_and_code_2",),
    ),
    Mutant(
        "a dashboard without pages is not told of",
        "curation/work/cluster.py",
        '    if own and extras.missing("dashboard"):\n',
        "    if False:\n",
        ("tests/test_dependencies.py::test_a_dashboard_is_told_of_where_it_is_drawn_and_else_how_to_get_one[True]",),
    ),
    Mutant(
        "what is near across the antimeridian is found",
        "curation/places/nearby.py",
        "for turn in (-360.0, 0.0, 360.0):",
        "for turn in (0.0,):",
        (
            "tests/places/test_nearby.py::test_each_pair_that_is_near_is_found_once_across_the_antimeridian_and_the_poles",
        ),
    ),
    Mutant(
        "a near pair is listed once",
        "curation/places/nearby.py",
        "key = np.unique(",
        "key = np.asarray(",
        (
            "tests/places/test_nearby.py::test_each_pair_that_is_near_is_found_once_across_the_antimeridian_and_the_poles",
        ),
    ),
    Mutant(
        "a patch's file lies where its grid is",
        "curation/cubes/open_patch.py",
        "placed.rio.write_transform(Affine(step, 0, x0, 0, -step, y0))",
        "placed.rio.write_transform(Affine(step, 0, x0 + step / 2, 0, -step, y0))",
        ("tests/cubes/test_open_patch.py::test_each_array_written_by_rioxarray_lies_for_gdal_where_its_grid_is",),
    ),
    Mutant(
        "a patch's nodata is its array's",
        "curation/cubes/open_patch.py",
        '.rio.write_nodata(of["nodata"])',
        "",
        ("tests/cubes/test_open_patch.py::test_each_array_written_by_rioxarray_lies_for_gdal_where_its_grid_is",),
    ),
    Mutant(
        "a stock pipeline passes over what lacks a member",
        "curation/stream/stock.py",
        "data.select(functools.partial(_is_whole, members=members)).to_tuple",
        "data.to_tuple",
        (
            "tests/stream/test_stock.py::test_samples_that_lack_a_wanted_member_are_passed_over_and_the_others_come_as_tuples",
        ),
    ),
    Mutant(
        "no key of an index is left out",
        "curation/format/index.py",
        "    if lacks := [key for key in keys if key not in value]:",
        "    if lacks := []:",
        ("tests/format/test_index.py::test_a_wrong_index_is_refused_and_says_where",),
    ),
    Mutant(
        "texts of an index have no control characters",
        "curation/format/index.py",
        'Text = Annotated[str, Meta(pattern=r"^[^\\x00-\\x1f\\x7f\\ud800-\\udfff]*\\Z")]',
        'Text = Annotated[str, Meta(pattern=r"")]',
        ("tests/format/test_index.py::test_a_wrong_index_is_refused_and_says_where",),
    ),
    Mutant(
        "files of an index lie below its folder",
        "curation/format/index.py",
        'if long or {"", ".", ".."} & set(parts):',
        "if long:",
        ("tests/format/test_index.py::test_a_wrong_index_is_refused_and_says_where",),
    ),
    Mutant(
        "numbers of an index are none below 0",
        "curation/format/index.py",
        "Count = Annotated[int, Meta(ge=0, lt=_MOST)]",
        "Count = Annotated[int, Meta(lt=_MOST)]",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "words of an index are those that there are",
        "curation/format/index.py",
        "        if dtype not in DTYPES:\n",
        "        if False:\n",
        ("tests/format/test_index.py::test_a_wrong_index_is_refused_and_says_where",),
    ),
    Mutant(
        "children of an index are no more than members can be counted",
        "curation/format/index.py",
        "children: Annotated[int, Meta(ge=0, lt=_MOST_MEMBERS)]",
        "children: Annotated[int, Meta(ge=0, lt=2 * _MOST_MEMBERS)]",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "members are counted before they are named",
        "curation/format/index.py",
        "if total != members or total > _MOST_MEMBERS:",
        "if False:",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "sides of an array are above 0",
        "curation/format/index.py",
        "Side = Annotated[int, Meta(gt=0, lt=_MOST)]",
        "Side = Annotated[int, Meta(lt=_MOST)]",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "an array has no more bytes than there can be",
        "curation/format/index.py",
        "if math.prod(shape) * np.dtype(dtype).itemsize > MOST_BYTES:",
        "if False:",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "a shard has room for its samples",
        "curation/format/index.py",
        "if self.samples * 2 * BLOCK > self.size:",
        "if False:",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "a split has the samples of its shards",
        "curation/format/index.py",
        "if (total := sum(s.samples for s in self.shards)) != self.samples:",
        "if (total := 0) != 0:",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "a shard is named once",
        "curation/format/index.py",
        "if len({s.name for s in self.shards}) != len(self.shards):",
        "if False:",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "a table that is a folder is refused",
        "curation/stream/opening.py",
        "except (FileNotFoundError, NotADirectoryError, NotAFileError) as err:",
        "except (FileNotFoundError, NotADirectoryError) as err:",
        (f"{HOSTILE}an_index_that_promises_what_its_files_have_not_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "pixels have a size that can be",
        "curation/format/index.py",
        "if self.res_m is not None and not 1e-3 <= self.res_m <= 1e6:",
        "if False:",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "deviations are not below 0",
        "curation/format/index.py",
        " or (self.std is not None and self.std < 0)",
        "",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "what is free form is not too deep",
        "curation/format/index.py",
        "    if level:\n",
        "    if False:\n",
        (f"{HOSTILE}an_index_that_promises_what_cannot_be_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "JSON that is too deep is refused",
        "curation/format/index.py",
        "    except RecursionError as err:\n",
        "    except ZeroDivisionError as err:\n",
        (f"{HOSTILE}json_that_is_none_or_too_deep_is_refused",),
    ),
    Mutant(
        "NaN is no JSON",
        "curation/format/index.py",
        "json.JSONDecoder(parse_constant=_refused)",
        "json.JSONDecoder()",
        (f"{HOSTILE}numbers_that_json_has_not_are_refused",),
    ),
    Mutant(
        "a member table counts samples from 0",
        "curation/format/table.py",
        "lambda: not table.sample.size or int(table.sample[0]) == 0",
        "lambda: True",
        (f"{HOSTILE}each_column_of_a_member_table_is_refused_with_any_other_value[sample]",),
    ),
    Mutant(
        "a member table has the index's samples",
        "curation/format/table.py",
        "lambda: int(first.sum()) == entry.samples and bool(np.all((step == 0) | (step == 1)))",
        "lambda: True",
        (f"{HOSTILE}each_column_of_a_member_table_is_refused_with_any_other_value[sample]",),
    ),
    Mutant(
        "a member table names the index's members",
        "curation/format/table.py",
        "lambda: bool(np.all((table.member >= 0) & (table.member < len(index.members))))",
        "lambda: True",
        (f"{HOSTILE}each_column_of_a_member_table_is_refused_with_any_other_value[member]",),
    ),
    Mutant(
        "a member table is in order",
        "curation/format/table.py",
        "lambda: bool(np.all((step > 0) | (np.diff(table.member) > 0)))",
        "lambda: True",
        (f"{HOSTILE}each_column_of_a_member_table_is_refused_with_any_other_value[member]",),
    ),
    Mutant(
        "each sample has its meta.json",
        "curation/format/table.py",
        "lambda: bool(np.all(table.member[first] == 0))",
        "lambda: True",
        ("tests/format/test_index.py::test_a_table_of_something_else_is_refused",),
    ),
    Mutant(
        "samples lie in the index's shards",
        "curation/format/table.py",
        "lambda: bool(np.array_equal(table.shard, shard_of_samples(entry)[table.sample]))",
        "lambda: True",
        (f"{HOSTILE}each_column_of_a_member_table_is_refused_with_any_other_value[shard]",),
    ),
    Mutant(
        "members end within their shards",
        "curation/format/table.py",
        "                and np.all(table.offset <= sizes[table.shard] - table.size)\n",
        "",
        ("tests/format/test_index.py::test_a_table_that_the_index_denies_is_refused",),
    ),
    Mutant(
        "members lie one after another",
        "curation/format/table.py",
        "lambda: bool(np.array_equal(table.offset, _follows(table)))",
        "lambda: True",
        ("tests/format/test_index.py::test_a_table_that_leaves_room_between_members_is_refused",),
    ),
    Mutant(
        "a member table has no nulls",
        "curation/format/table.py",
        "if one is None or any(column.null_count for column in one.columns):",
        "if one is None:",
        (f"{HOSTILE}each_column_of_a_member_table_is_refused_with_any_other_value[size]",),
    ),
    Mutant(
        "a member table is validated",
        "curation/format/table.py",
        "one.validate(full=True)",
        "pass",
        (f"{HOSTILE}a_member_table_with_any_byte_changed_does_not_matter_or_is_refused",),
    ),
    Mutant(
        "no room is made that members cannot fill",
        "curation/format/table.py",
        "if most and room > DENSEST * most:",
        "if False:",
        (f"{HOSTILE}an_index_that_promises_what_its_files_have_not_is_refused_before_room_is_made_for_it",),
    ),
    Mutant(
        "ids are those of locations",
        "curation/stream/opening.py",
        "ids.filter(pc.invert(",
        "ids.filter(pc.is_null(",
        (f"{HOSTILE}a_samples_table_of_another_form_is_refused",),
    ),
    Mutant(
        "an id comes once",
        "curation/stream/opening.py",
        "if pc.count_distinct(ids).as_py() != len(ids):",
        "if False:",
        (f"{HOSTILE}a_samples_table_of_another_form_is_refused",),
    ),
    Mutant(
        "ids are texts",
        "curation/stream/opening.py",
        "if not (pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)) or",
        "if",
        (f"{HOSTILE}a_samples_table_of_another_form_is_refused",),
    ),
    Mutant(
        "shards are counted in whole numbers",
        "curation/stream/opening.py",
        " or not pa.types.is_integer(shard.type):",
        ":",
        (f"{HOSTILE}a_samples_table_of_another_form_is_refused",),
    ),
    Mutant(
        "samples of the table lie in the index's shards",
        "curation/stream/opening.py",
        "not np.array_equal(shard.to_numpy(), shard_of_samples(entry))",
        "False",
        (f"{HOSTILE}a_samples_table_of_another_form_is_refused",),
    ),
    Mutant(
        "fractions are lists of numbers",
        "curation/stream/opening.py",
        "if not pa.types.is_null(kind) and not (is_list and pa.types.is_floating(kind.value_type)):",
        "if False:",
        (f"{HOSTILE}a_samples_table_of_another_form_is_refused",),
    ),
    Mutant(
        "fractions are from 0 to 1, of each label",
        "curation/stream/opening.py",
        "if len(row) != labels or not all(v is not None and 0 <= v <= 1 for v in row):",
        "if False:",
        (f"{HOSTILE}a_samples_table_of_another_form_is_refused",),
    ),
    Mutant(
        "a samples table that is no Parquet is refused",
        "curation/stream/opening.py",
        "    except (pa.ArrowException, OSError, UnicodeDecodeError) as err:  # by where the fault is\n",
        "    except ZeroDivisionError as err:\n",
        (f"{HOSTILE}a_samples_table_with_any_byte_changed_is_refused_or_does_not_matter",),
    ),
    Mutant(
        "texts of a samples table are validated",
        "curation/stream/opening.py",
        "table.validate(full=True)  # or texts may be none",
        "pass",
        (f"{HOSTILE}a_samples_table_with_any_byte_changed_is_refused_or_does_not_matter",),
    ),
    Mutant(
        "arrays in Fortran order are refused",
        "curation/format/payload.py",
        'if found[2] == b"True":',
        "if False:",
        (f"{HOSTILE}a_npy_header_of_anything_else_is_refused_and_never_evaluated",),
    ),
    Mutant(
        "arrays without pixels are refused",
        "curation/format/payload.py",
        "    if 0 in shape:\n",
        "    if False:\n",
        (f"{HOSTILE}a_npy_header_of_anything_else_is_refused_and_never_evaluated",),
    ),
    Mutant(
        "an array has the bytes of its shape",
        "curation/format/payload.py",
        "if len(file) - start != size:",
        "if False:",
        (f"{HOSTILE}a_npy_header_of_anything_else_is_refused_and_never_evaluated",),
    ),
    Mutant(
        "what no header may be is refused by name",
        "curation/format/payload.py",
        '    except ValueError as err:\n        raise DamageError(f"{where}: not a .npy member',
        '    except ZeroDivisionError as err:\n        raise DamageError(f"{where}: not a .npy member',
        (f"{HOSTILE}a_npy_header_of_anything_else_is_refused_and_never_evaluated",),
    ),
    Mutant(
        "a Blosc buffer has its own length",
        "curation/format/payload.py",
        "if size < _BLOSC_HEADER or own != size:",
        "if size < _BLOSC_HEADER:",
        (f"{HOSTILE}a_blosc_header_that_claims_anything_else_is_refused_before_room_is_made",),
    ),
    Mutant(
        "a Blosc buffer has a header",
        "curation/format/payload.py",
        "if size < _BLOSC_HEADER or own != size:",
        "if own != size:",
        (f"{HOSTILE}a_blosc_header_that_claims_anything_else_is_refused_before_room_is_made",),
    ),
    Mutant(
        "a Blosc buffer claims no more than it can hold",
        "curation/format/payload.py",
        "if not 0 < inside <= min(MOST_BYTES, DENSEST * size):",
        "if not 0 < inside:",
        (f"{HOSTILE}a_blosc_header_that_claims_anything_else_is_refused_before_room_is_made",),
    ),
    Mutant(
        "places are numbers",
        "curation/stream/meta.py",
        "type(value) not in (int, float) or not low <= value <= high",
        "not low <= float(value) <= high",
        (f"{HOSTILE}each_field_of_a_meta_json_does_not_matter_or_is_refused_by_name",),
    ),
    Mutant(
        "places lie on Earth",
        "curation/stream/meta.py",
        " or not low <= value <= high:",
        ":",
        (f"{HOSTILE}each_field_of_a_meta_json_does_not_matter_or_is_refused_by_name",),
    ),
    Mutant(
        "facts are of their kind",
        "curation/stream/meta.py",
        "    if type(value) is not kind:\n",
        "    if False:\n",
        (f"{HOSTILE}each_field_of_a_meta_json_does_not_matter_or_is_refused_by_name",),
    ),
    Mutant(
        "labels are 0 or 1",
        "curation/stream/meta.py",
        "if known and not {*multi_hot} <= {0.0, 1.0}:",
        "if False:",
        (f"{HOSTILE}each_field_of_a_meta_json_does_not_matter_or_is_refused_by_name",),
    ),
    Mutant(
        "there is a number of each label",
        "curation/stream/meta.py",
        "if len(_of(list, values)) != labels:",
        "if _of(list, values) is None:",
        (f"{HOSTILE}each_field_of_a_meta_json_does_not_matter_or_is_refused_by_name",),
    ),
    Mutant(
        "times are within the years that there are",
        "curation/stream/meta.py",
        "except (ValueError, OverflowError) as err:",
        "except ValueError as err:",
        (f"{HOSTILE}each_field_of_a_meta_json_does_not_matter_or_is_refused_by_name",),
    ),
    Mutant(
        "numbers of a state are whole",
        "curation/stream/state.py",
        "if type(value) is not int or not least <= value <= most:",
        "if not least <= value <= most:",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "numbers of a state are within bounds",
        "curation/stream/state.py",
        "if type(value) is not int or not least <= value <= most:",
        "if type(value) is not int:",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "a state has nothing else",
        "curation/stream/state.py",
        "if unknown := [name for name in state if name not in known]:",
        "if unknown := []:",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "values of a state are compared by their kinds",
        "curation/stream/state.py",
        "    if type(value) is not type(expected):\n",
        "    if False:\n",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "a state is a mapping",
        "curation/stream/state.py",
        "if not isinstance(state, Mapping):",
        "if False:",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "the epoch of a state is one",
        "curation/stream/state.py",
        '    _whole("epoch", state.get("epoch"), 0, _MOST)\n',
        "",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "a worker is one of its workers",
        "curation/stream/state.py",
        '    _whole("worker", state.get("worker"), 0, workers - 1)\n',
        "",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "a worker's steps lie within the epoch",
        "curation/stream/state.py",
        '    _whole("steps", state.get("steps"), 0, -(-(samples - start) // (ranks * batch)))\n',
        "",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "steps that are told are a whole number",
        "curation/stream/state.py",
        '        _whole("steps", steps, 0, _MOST)\n',
        "",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "steps that are told lie within the epoch",
        "curation/stream/state.py",
        "if steps and start + (steps - 1) * together >= samples:",
        "if False:",
        (f"{HOSTILE}each_field_of_a_state_is_refused_with_any_value_that_no_state_has",),
    ),
    Mutant(
        "what a state has consumed lies within the epoch",
        "curation/stream/state.py",
        '        _whole("consumed", state.get("consumed"), 0, samples + together - 1)\n',
        "",
        (f"{HOSTILE}a_state_of_an_epochs_end_is_taken_and_what_lies_beyond_is_refused",),
    ),
    Mutant(
        "an epoch is no flag",
        "curation/stream/dataset.py",
        "if isinstance(epoch, bool) or not",
        "if not",
        (f"{HOSTILE}set_epoch_takes_whole_numbers_alone",),
    ),
    Mutant(
        "an epoch is a number that chance can follow from",
        "curation/stream/dataset.py",
        " or not 0 <= epoch < 2**63 - 1:",
        ":",
        (f"{HOSTILE}set_epoch_takes_whole_numbers_alone",),
    ),
    Mutant(
        "a batch fits into the machine",
        "curation/stream/open.py",
        "    if needed > there:\n",
        "    if False:\n",
        (f"{HOSTILE}a_batch_larger_than_the_machine_is_refused_with_both_sizes",),
    ),
    Mutant(
        "an index into a dataset points to what has one",
        "curation/stream/dataset.py",
        "def __getitem__(self, key: object) -> Any:",
        "def item(self, key: object) -> Any:",
        (f"{HOSTILE}an_index_into_a_dataset_points_to_by_id",),
    ),
    Mutant(
        "verify refuses counts of another form",
        "curation/verify/shards.py",
        "if odd or any(type(n) is not int for of in by_cube.values() for n in of.values()):",
        "if False:",
        (f"{HOSTILE}verify_names_counts_of_another_form",),
    ),
    Mutant(
        "verify names an index that is none",
        "curation/verify/shards.py",
        "        index = Index.from_bytes(data, store.where(INDEX))\n    except DamageError as err:",
        "        index = Index.from_bytes(data, store.where(INDEX))\n    except ZeroDivisionError as err:",
        (f"{HOSTILE}verify_names_a_fault_of_each_field_of_an_index_and_never_crashes",),
    ),
    Mutant(
        "verify names a release that is no JSON",
        "curation/verify/shards.py",
        "    except ValueError as err:\n        found.faults.append(f\"{store.where('manifest",
        "    except ZeroDivisionError as err:\n        found.faults.append(f\"{store.where('manifest",
        (f"{HOSTILE}verify_names_a_release_of_another_form",),
    ),
    Mutant(
        "verify names a release that is no object",
        "curation/verify/shards.py",
        '_table(release).get("index_sha256")',
        'release.get("index_sha256")',
        (f"{HOSTILE}verify_names_a_release_of_another_form",),
    ),
    Mutant(
        "verify names a meta.json that is none",
        "curation/verify/shards.py",
        '        except ValueError as err:\n            found.faults.append(f"{where}: sample {key}: its',
        '        except ZeroDivisionError as err:\n            found.faults.append(f"{where}: sample {key}: its',
        (f"{HOSTILE}verify_names_a_payload_that_is_none",),
    ),
    Mutant(
        "verify names a payload that is none",
        "curation/verify/shards.py",
        '        except DamageError as err:\n            found.faults.append(f"{where}: sample {key}: {err}")',
        '        except ZeroDivisionError as err:\n            found.faults.append(f"{where}: sample {key}: {err}")',
        (f"{HOSTILE}verify_names_a_payload_that_is_none",),
    ),
    Mutant(
        "a meta.json is an object",
        "curation/format/content.py",
        "    if not isinstance(meta, dict):\n",
        "    if False:\n",
        (f"{HOSTILE}verify_names_a_payload_that_is_none",),
    ),
    Mutant(
        "a tar has no member of a size below 0",
        "curation/format/tar.py",
        " or info.size < 0:",
        ":",
        (f"{HOSTILE}a_tar_header_of_any_size_is_refused",),
    ),
    Mutant(
        "a writing whose reply was lost is known for one's own",
        "curation/store/bucket.py",
        "                if mark is not None:\n                    return mark\n",
        "",
        (
            "tests/store/test_lost_replies.py::test_who_published_new_and_was_not_told_is_not_taken_for_another",
            "tests/store/test_lost_replies.py::test_an_upload_in_parts_whose_end_was_not_told_is_done",
        ),
    ),
    Mutant(
        "what another has written is not taken for one's own",
        "curation/store/bucket.py",
        "            same = same and data[at : at + len(piece)] == bytes(piece)\n",
        "",
        ("tests/store/test_lost_replies.py::test_a_second_writer_is_still_one_where_replies_are_lost",),
    ),
    Mutant(
        "a store that is busy is asked again",
        "curation/store/bucket.py",
        "BUSY_TRIES, BUSY_PAUSE_S = 5, 0.5",
        "BUSY_TRIES, BUSY_PAUSE_S = 1, 0.5",
        ("tests/store/test_lost_replies.py::test_any_write_whose_reply_is_lost_is_done",),
    ),
    Mutant(
        "a segment has an id of its own",
        "curation/store/ledger.py",
        '"id": uuid.uuid4().hex,',
        '"id": "",',
        (
            "tests/store/test_lost_replies.py::"
            "test_a_second_writer_of_this_very_process_is_told_from_oneself_by_the_id_in_its_segment",
        ),
    ),
    Mutant(
        "a link whose reply was lost is one's own",
        "curation/store/folder.py",
        "                if not self._path(key).samefile(temp):\n                    raise",
        "                raise",
        ("tests/store/test_lost_replies.py::test_a_link_whose_reply_was_lost_is_ones_own",),
    ),
    Mutant(
        "no step of the clock ends a writer",
        "curation/store/writer.py",
        "    if since_boot:\n",
        "    if False:\n",
        ("tests/store/test_ledger.py::test_a_writer_lives_on_when_the_clock_is_set",),
    ),
    Mutant(
        "a writer of another start of the machine is none",
        "curation/store/writer.py",
        "return boot == self.boot and abs(",
        "return abs(",
        ("tests/store/test_ledger.py::test_a_pid_that_was_used_again_is_not_the_writer",),
    ),
    Mutant(
        "how long a token is good the clock here does not say",
        "curation/read/signing.py",
        "return until - time.monotonic() if known == token.token else float(token.ttl())",
        "return float(token.ttl())",
        (
            "tests/read/test_signing.py::test_how_long_a_token_is_good_does_not_hang_on_the_clock_here",
            "tests/read/test_signing.py::test_a_token_ends_when_its_time_is_up_though_the_clock_is_set_back",
        ),
    ),
    Mutant(
        "a date to wait until is told from the server's own",
        "curation/read/http.py",
        "    return time.time() if answered is None else answered\n",
        "    return time.time()\n",
        ("tests/read/test_signing.py::test_a_date_to_wait_until_is_told_from_the_servers_own",),
    ),
    Mutant(
        "a block of a TIFF is not larger than may be",
        "curation/read/image.py",
        "if (size := self._block_px * self.dtype.itemsize) > MOST_BLOCK_BYTES:",
        "if (size := self._block_px * self.dtype.itemsize) < 0:",
        ("tests/read/test_tiff_bounds.py::test_a_file_that_would_fill_the_memory_is_refused_by_name_in_little",),
    ),
    Mutant(
        "a window of a TIFF is not larger than may be",
        "curation/read/image.py",
        "if (size := window.width * window.height * self.dtype.itemsize) > MOST_WINDOW_BYTES:",
        "if (size := window.width * window.height * self.dtype.itemsize) < 0:",
        ("tests/read/test_tiff_bounds.py::test_a_file_that_would_fill_the_memory_is_refused_by_name_in_little",),
    ),
    Mutant(
        "a block takes no more of a file than it can",
        "curation/read/image.py",
        "            if size > most:\n",
        "            if False:\n",
        ("tests/read/test_tiff_bounds.py::test_a_file_that_would_fill_the_memory_is_refused_by_name_in_little",),
    ),
    Mutant(
        "a packed block says of how many pixels it is",
        "curation/read/image.py",
        "is not None and stated > self._block_px:",
        "is not None and stated < 0:",
        ("tests/read/test_tiff_bounds.py::test_a_file_that_would_fill_the_memory_is_refused_by_name_in_little",),
    ),
    Mutant(
        "what would be decoded to any size is not read",
        "curation/read/image.py",
        "if self._packing not in _PACKINGS:",
        "if False:",
        ("tests/read/test_tiff_bounds.py::test_a_file_that_would_fill_the_memory_is_refused_by_name_in_little",),
    ),
    Mutant(
        "tags are not larger than may be",
        "curation/read/directory.py",
        "            if total > _MOST_TAG_BYTES:\n",
        "            if False:\n",
        ("tests/read/test_tiff_bounds.py::test_a_file_that_would_fill_the_memory_is_refused_by_name_in_little",),
    ),
    Mutant(
        "a mask beside that is broken is asked for anew",
        "curation/read/reader.py",
        "                    beside.forget()\n",
        "                    pass\n",
        ("tests/read/test_tiff_bounds.py::test_a_mask_beside_that_was_broken_is_asked_for_anew",),
    ),
    Mutant(
        "a chunk of HDF5 is not larger than may be",
        "curation/read/variables.py",
        " * dataset.dtype.itemsize) > MOST_TILE_BYTES:",
        " * dataset.dtype.itemsize) < 0:",
        ("tests/read/test_swath.py::test_a_chunk_that_would_fill_the_memory_is_refused_by_name_in_little",),
    ),
    Mutant(
        "a chunk of HDF5 is unpacked to no more than it is",
        "curation/read/netcdf.py",
        "if (told := hdfchunk.surplus(dataset, mask, packed)) is not None:",
        "if False:",
        ("tests/read/test_swath.py::test_a_chunk_that_would_fill_the_memory_is_refused_by_name_in_little",),
    ),
    Mutant(
        "only filters whose bytes can be counted are read",
        "curation/read/variables.py",
        "if number not in hdfchunk.FILTERS or not",
        "if not",
        ("tests/read/test_swath.py::test_a_chunk_that_would_fill_the_memory_is_refused_by_name_in_little",),
    ),
    Mutant(
        "a scanline is not longer than may be",
        "curation/read/variables.py",
        " > MOST_ROW_BYTES:",
        " < 0:",
        ("tests/read/test_swath.py::test_a_scanline_without_end_is_no_swaths",),
    ),
    Mutant(
        "radar that cannot be is impossible",
        "curation/read/backscatter.py",
        "    if share > MAX_IMPOSSIBLE_FRACTION:\n",
        "    if False:\n",
        (
            "tests/read/test_backscatter.py::"
            "test_more_that_is_brighter_than_anything_is_refused_with_its_share_of_valid_pixels",
            "tests/build/test_walk.py::"
            "test_radar_of_which_too_much_is_brighter_than_anything_is_impossible_and_the_next_scene_is_used",
        ),
    ),
    Mutant(
        "a few pixels of radar that cannot be are no data",
        "curation/read/backscatter.py",
        "return np.where(beyond, power.dtype.type(nodata), power)",
        "return power",
        (
            "tests/read/test_backscatter.py::test_less_is_no_data_and_what_is_bright_and_may_be_is_kept",
            "tests/build/test_walk.py::test_the_few_pixels_of_radar_that_are_brighter_than_anything_are_no_data_and_counted",
        ),
    ),
    Mutant(
        "saturated pixels are no data",
        "curation/build/picks/clearest.py",
        "            patch.pixels[name] = radiometry.measured(patch.pixels[name], array.nodata)\n",
        "",
        ("tests/build/test_offset.py::test_a_few_saturated_pixels_are_no_data_and_counted",),
    ),
    Mutant(
        "a pipe is not waited for",
        "curation/store/local.py",
        "    if told is None:\n        made = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)",
        "    if True:\n        made = os.open(path, os.O_RDONLY | os.O_CLOEXEC)",
        ("tests/store/test_local.py::test_what_is_read_and_is_no_file_is_a_read_that_fails_for_good",),
    ),
    Mutant(
        "a pipe that comes between looking and opening is not waited for",
        "curation/store/local.py",
        "os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)",
        "os.O_RDONLY | os.O_CLOEXEC)",
        ("tests/store/test_local.py::test_a_pipe_in_place_of_a_file_between_looking_and_opening_is_not_waited_for",),
    ),
    Mutant(
        "what a person names is a file",
        "curation/store/local.py",
        "    if (told := _other(found.st_mode)) is not None:\n",
        "    if False:\n",
        ("tests/store/test_local.py::test_what_a_person_names_and_is_no_file_is_told",),
    ),
    Mutant(
        "what is read whole is not larger than may be",
        "curation/store/local.py",
        "    if found.st_size > most_bytes:\n",
        "    if False:\n",
        ("tests/store/test_local.py::test_what_is_read_whole_is_not_larger_than_may_be",),
    ),
    Mutant(
        "a table is not larger than may be once it is unpacked",
        "curation/store/tables.py",
        "    if found.num_rows > MOST_ROWS or size > MOST_BYTES:\n",
        "    if False:\n",
        ("tests/store/test_local.py::test_a_table_that_is_small_because_it_is_packed_is_refused_by_what_it_comes_to",),
    ),
    Mutant(
        "a train footprint keeps both footprints' reach from a val block",
        "curation/places/split.py",
        "_Blocks(seed, spec, 2 * reach_km + spec.buffer_km)",
        "_Blocks(seed, spec, spec.buffer_km)",
        ("tests/places/test_ground.py::test_given_footprints_share_no_ground",),
    ),
    Mutant(
        "a val footprint may reach beyond its block",
        "curation/places/split.py",
        "_Blocks(seed, spec, 2 * reach_km + spec.buffer_km)",
        "_Blocks(seed, spec, reach_km + spec.buffer_km)",
        ("tests/places/test_ground.py::test_cells_share_no_ground_at_the_poles_and_the_antimeridian_either",),
    ),
    Mutant(
        "a child is of its cell's side",
        "curation/places/split.py",
        "        lon, lat = era5_cells.nodes(era5_cells.numbers_at(",
        "        _ = era5_cells.nodes(era5_cells.numbers_at(",
        ("tests/cubes/test_complete.py::test_a_recorded_child_is_of_the_side_and_the_cell_that_the_draw_says",),
    ),
    Mutant(
        "a footprint reaches no farther than the split believes",
        "curation/places/split.py",
        "        if bad.any():\n            k = int(np.argmax(bad))",
        "        if False:\n            k = int(np.argmax(bad))",
        ("tests/places/test_ground.py::test_a_footprint_that_its_crs_makes_larger_than_its_side_says_is_refused",),
    ),
    Mutant(
        "a buffer below the widest pixel is refused",
        "curation/recipe/dataset.py",
        "        if rule.buffer_km < km:",
        "        if False:",
        (
            "tests/places/test_ground.py::test_a_buffer_below_the_widest_pixel_of_any_source_is_refused_with_what_would_do",
        ),
    ),
    Mutant(
        "packing refuses ground in train and in val",
        "curation/pack/pack.py",
        "    if pairs := sharing.near_pairs(chosen, reach_km(dataset.recipe.grid)):",
        "    if pairs := 0:",
        ("tests/places/test_sharing.py::test_packing_tells_what_is_shared_and_refuses_ground",),
    ),
    Mutant(
        "what train and val may not share is left out",
        "curation/pack/plan.py",
        "    whole = [m for m in whole if m.location.id not in out]",
        "    whole = list(whole)",
        ("tests/places/test_sharing.py::test_a_plan_leaves_out_what_the_recipe_says_and_counts_the_rest",),
    ),
    Mutant(
        "the report has packing's rule of completeness",
        "curation/cubes/complete.py",
        "    if any(v.state == COMPLETE for v in children):\n        return Verdict(COMPLETE)",
        "    if False:\n        return Verdict(COMPLETE)",
        ("tests/cubes/test_complete.py::test_a_root_is_what_its_children_make_of_it_where_anything_will_do",),
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
        "the page has no word of radar where there is none",
        "curation/report/contact_sheet.py",
        ' if radar else "",',
        ",",
        ("tests/report/test_page.py::test_a_page_without_radar_has_no_word_of_it",),
    ),
    Mutant(
        "planned places are not counted as built",
        "curation/report/show.py",
        "sorted(cube.outcomes), patch, planned",
        "sorted(cube.numbers), patch, planned",
        ("tests/report/test_show.py::test_a_pending_patch_is_refused_with_what_builds_it_and_is_not_counted_as_built",),
    ),
    Mutant(
        "a source beside the one it goes with is refused",
        "curation/build/picks/nearest.py",
        "    if limit is not None and length > limit and",
        "    if limit is not None and length > 99 and",
        ("tests/build/test_walk.py::test_a_source_beside_the_one_it_goes_with_is_refused_by_the_recipe_s_limit",),
    ),
    Mutant(
        "a shift that says nothing refuses nothing",
        "curation/build/picks/nearest.py",
        " and peak >= shift.least_peak(patch.pixels[name].shape[-1]):",
        ":",
        ("tests/build/test_walk.py::test_a_shift_that_says_nothing_refuses_nothing",),
    ),
    Mutant(
        "a source that is refused for its shift stores nothing",
        "curation/build/picks/nearest.py",
        "            patch.pixels.pop(array, None)",
        "            pass",
        ("tests/build/test_walk.py::test_a_source_that_is_not_required_is_refused_alone_and_stores_nothing",),
    ),
    Mutant(
        "the least telling peak depends on the number of pixels",
        "curation/read/shift.py",
        "    return PEAK + PEAK_SMALL / px**2",
        "    return 5.0",
        ("tests/read/test_shift.py::test_few_unrelated_images_have_a_sharp_peak_whatever_their_size[32]",),
    ),
    Mutant(
        "the unit of a shift is the measured array's pixel",
        "curation/cubes/facts.py",
        'f" ({array.told})"',
        'f" (10 m)"',
        ("tests/build/test_walk.py::test_the_unit_of_a_shift_is_the_pixel_of_the_array_that_is_measured",),
    ),
    Mutant(
        "what all workers were lost under is given to those that come",
        "curation/work/dealing.py",
        'if state == "no-worker"}',
        "if False}",
        ("tests/work/test_workers.py::test_when_all_workers_are_lost_the_next_that_come_go_on",),
    ),
    Mutant(
        "what was offered to more as its worker was lost is taken back, though those are there",
        "curation/work/dealing.py",
        "if not flight.hands <= self._roster.rooms.keys()]",
        "if flight.hands.isdisjoint(self._roster.rooms.keys())]",
        ("tests/work/test_workers.py::test_what_is_offered_as_its_worker_is_lost_is_done_by_another",),
    ),
    Mutant(
        "what is offered before the scheduler has it ends nothing",
        "curation/work/dealing.py",
        "        except KeyError:  # what was given",
        "        except ZeroDivisionError:  # what was given",
        ("tests/work/test_workers.py::test_what_is_offered_before_the_scheduler_has_it_is_offered_again",),
    ),
    Mutant(
        "what was not heard as an offer is offered again",
        "curation/work/dealing.py",
        "                offers[str(future.key)] = flight, flight.hands.union(idle)",
        "                flight.hands.update(idle)\n                offers[str(future.key)] = flight, flight.hands",
        ("tests/work/test_workers.py::test_what_is_offered_before_the_scheduler_has_it_is_offered_again",),
    ),
    Mutant(
        "a task ends for those who wait for it also where its result cannot be had",
        "curation/work/arriving.py",
        "        except Exception as its:",
        "        except KeyError as its:",
        ("tests/work/test_workers.py::test_a_result_that_does_not_come_through_is_done_again_or_is_an_error",),
    ),
    Mutant(
        "what was done and did not come through is done again",
        "curation/work/dealing.py",
        "if isinstance(broken, OSError) and",
        "if False and",
        ("tests/work/test_workers.py::test_a_result_that_does_not_come_through_is_done_again_or_is_an_error[err0]",),
    ),
    Mutant(
        "a scheduler is waited for only for a while",
        "curation/work/roster.py",
        "callback_timeout=CALL_S, **what)",
        "**what)",
        (
            "tests/work/test_workers.py::test_a_scheduler_that_hangs_is_lost[get_task_status]",
            "tests/work/test_workers.py::test_how_many_work_is_asked_of_a_scheduler_that_hangs_only_for_a_while",
        ),
    ),
    Mutant(
        "a scheduler is waited for only for a while, when it is asked what it is",
        "curation/work/roster.py",
        "eval, text, callback_timeout=CALL_S)",
        "eval, text)",
        ("tests/work/test_workers.py::test_a_scheduler_that_hangs_as_it_is_asked_what_it_is_is_lost",),
    ),
    Mutant(
        "a worker that does not say its versions is not waited for",
        "curation/work/roster.py",
        "            if not answer.done():",
        "            if False:",
        ("tests/work/test_workers.py::test_a_worker_that_hangs_before_it_says_what_it_is_holds_up_nobody",),
    ),
    Mutant(
        "a worker that did not say its versions in time is asked again",
        "curation/work/roster.py",
        "await asyncio.wait_for(answer, VERSIONS_S)",
        "await answer",
        ("tests/work/test_workers.py::test_a_worker_that_hung_for_a_while_is_asked_again",),
    ),
    Mutant(
        "a worker whose answer broke off is asked again",
        "curation/work/roster.py",
        "        except OSError:  # its time is over, or it broke off",
        "        except TimeoutError:",
        ("tests/work/test_workers.py::test_a_worker_whose_answer_breaks_off_is_asked_again",),
    ),
    Mutant(
        "a worker is wanted where there is none",
        "curation/work/roster.py",
        'not self.present and "" not in self.waits:',
        "False:",
        ("tests/work/test_workers.py::test_a_cluster_that_grows_from_nothing_begins",),
    ),
    Mutant(
        "a worker of another folder is refused",
        "curation/work/fitness.py",
        '    if lacks == "store":\n',
        "    if False:\n",
        ("tests/work/test_fitness.py::test_what_a_machine_lacks_is_told",),
    ),
    Mutant(
        "a worker of other sources is refused",
        "curation/work/fitness.py",
        'if theirs["sources"] != ours["sources"]:',
        "if False:",
        ("tests/work/test_fitness.py::test_what_a_machine_lacks_is_told",),
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
        "a worker that ends in order says so",
        "curation/work/leaving.py",
        'msg={"action": GOODBYE}',
        'msg={"action": "nothing"}',
        ("tests/work/test_foreign.py::test_workers_that_leave_are_no_failure_of_the_items[alone]",),
    ),
    Mutant(
        "a worker told to end leaves that to its nanny",
        "curation/work/leaving.py",
        "        signal.signal(signal.SIGTERM, leave_it_to_the_nanny)",
        "        pass",
        ("tests/work/test_foreign.py::test_workers_that_leave_are_no_failure_of_the_items[as a job]",),
    ),
    Mutant(
        "a worker that hung has not taken leave",
        "curation/work/roster.py",
        "self.took_leave |= self.broken or not self.removed",
        "self.took_leave = True",
        ("tests/work/test_workers.py::test_a_worker_took_leave_where_it_said_so_in_the_life_that_had_the_task",),
    ),
    Mutant(
        "a worker that does not reach a catalog served here is refused",
        "curation/work/probe.py",
        "    if server is not None:",
        "    if False:",
        (
            "tests/work/test_workers.py::test_workers_that_do_not_reach_a_catalog_served_here_are_told_before_anything_is_done",
        ),
    ),
    Mutant(
        "a local cluster talks to its own processes alone",
        "curation/work/cluster.py",
        "            security=Security.temporary(),\n",
        "",
        ("tests/work/test_cluster.py::test_nobody_without_its_key_can_talk_to_any_process_of_a_local_cluster",),
    ),
    # The Python way in.
    Mutant(
        "a build of which patches failed is no success in Python",
        "curation/api/folder.py",
        "catalog.told, _special(asked, given))\n        if check:",
        "catalog.told, _special(asked, given))\n        if False:",
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
        "a notebook has no live line",
        "curation/work/progress.py",
        "sys.stderr.isatty() and not CONSOLE.is_jupyter",
        "sys.stderr.isatty()",
        ("tests/api/test_folder.py::test_a_notebook_has_no_live_line_whatever_its_standard_error_says",),
    ),
    Mutant(
        "cubes of two draws are not joined along seasons",
        "curation/cubes/open_cube.py",
        "        if wrong:\n",
        "        if False:\n",
        ("tests/cubes/test_open_cube.py::test_cubes_of_two_draws_are_not_joined",),
    ),
    Mutant(
        "facts of a cube are what was recorded",
        "curation/cubes/open_cube.py",
        "data = read_recorded(cube.store, recorded, key)",
        "data = cube.store.get(key)",
        (
            "tests/cubes/test_open_cube.py::test_what_is_gone_or_changed_is_an_error_when_it_is_read_and_never_nodata[True-s2l2a_valid_fraction]",
        ),
    ),
    Mutant(
        "slices of pixels keep their place",
        "curation/cubes/open_cube.py",
        '(found[name] + found[f"{axis}0_m"]).values',
        '(found[name] - found[name][0] + found[f"{axis}0_m"]).values',
        ("tests/cubes/test_open_cube.py::test_a_location_lies_where_its_patch_does",),
    ),
    # Disks that take no more, and signals.
    Mutant(
        "a build ends where nothing more can be kept",
        "curation/pipeline.py",
        "                if isinstance(result, StorageError):  # the",
        "                if False:  # the",
        (f"{STORAGE}a_full_disk_ends_a_build_in_one_line_and_the_same_command_goes_on",),
    ),
    Mutant(
        "a build's want of storage is no error that Dask tries again",
        "curation/pipeline.py",
        "Final(work or build_slab)",
        "work or build_slab",
        (f"{STORAGE}workers_are_given_work_that_does_not_raise_for_want_of_storage",),
    ),
    Mutant(
        "a pack's want of storage is no error that Dask tries again",
        "curation/pack/pack.py",
        "full.Final(write_shard)",
        "write_shard",
        (f"{STORAGE}workers_are_given_work_that_does_not_raise_for_want_of_storage",),
    ),
    Mutant(
        "a pack ends where nothing more can be kept",
        "curation/pack/pack.py",
        "                if isinstance(result, StorageError):",
        "                if False:",
        (f"{STORAGE}a_full_disk_ends_pack_and_report_in_one_line_and_the_same_command_goes_on",),
    ),
    Mutant(
        "a store's errors are told as what they are",
        "curation/store/objects.py",
        "                raise store._unkept(str(key), err) from err",
        "                raise",
        (f"{STORAGE}each_error_of_a_disk_says_what_to_do",),
    ),
    Mutant(
        "an object store that is full is told from one that refuses",
        "curation/store/refusals.py",
        "    if _FULL.search(_without(names, str(err))):",
        "    if False:",
        (f"{STORAGE}an_object_store_that_refuses_ends_the_run_and_says_what_to_do",),
    ),
    Mutant(
        "a folder that cannot be looked into is not an empty one",
        "curation/store/folder.py",
        "        if not isinstance(err, NO_FILE):",
        "        if False:",
        (f"{STORAGE}what_cannot_be_read_where_results_are_kept_is_told_and_not_taken_for_nothing",),
    ),
    Mutant(
        "a file where a folder should be is no other writer",
        "curation/store/folder.py",
        "        except FileExistsError as err:  # not what `publish_new` means by it",
        "        except ZeroDivisionError as err:",
        (f"{STORAGE}a_file_where_a_folder_should_be_is_told_and_no_other_writer",),
    ),
    Mutant(
        "a search that cannot be saved fails no patch",
        "curation/scenes/saved.py",
        "    except (ConfigError, StorageError):",
        "    except ConfigError:",
        (f"{STORAGE}a_search_that_cannot_be_saved_ends_the_run_and_fails_no_patch",),
    ),
    Mutant(
        "a server without room fails no patch",
        "curation/build/patch.py",
        "        if isinstance(cause, StorageError):",
        "        if False:",
        (f"{STORAGE}a_server_without_room_to_render_ends_the_run_in_one_line_and_fails_no_patch",),
    ),
    Mutant(
        "a server without room says so by 507",
        "curation/read/http.py",
        "    if status == _NO_ROOM:",
        "    if False:",
        (f"{STORAGE}a_server_without_room_to_render_ends_the_run_in_one_line_and_fails_no_patch",),
    ),
    Mutant(
        "a cache whose disk is full says so",
        "curation/stream/cache.py",
        "            with full.needed(part.parent, _THEN):",
        "            if True:",
        (f"{STORAGE}a_cache_whose_disk_is_full_says_so_and_keeps_no_half_shard",),
    ),
    Mutant(
        "what GDAL says of a full disk is told as that",
        "curation/embedded/archive/published.py",
        "        if isinstance(error, Exception) and not isinstance(error, OSError):",
        "        if False:",
        ("tests/embedded/archive/test_published.py::test_what_gdal_says_of_a_full_disk_is_told_as_that",),
    ),
    Mutant(
        "nothing is rendered where there is no room for it",
        "curation/embedded/archive/published.py",
        "        if free.f_bavail * free.f_frsize < ROOM_BYTES:",
        "        if False:",
        ("tests/embedded/archive/test_published.py::test_nothing_is_begun_where_there_is_no_room_for_it",),
    ),
    Mutant(
        "a second signal does not tear up what the first one cleans up",
        "curation/work/stopping.py",
        "        if self.first is None:\n            self.first",
        "        if True:\n            self.first",
        (f"{STOPPING}the_first_signal_is_raised_and_what_follows_at_once_is_not",),
    ),
    Mutant(
        "a signal that is raised in vain is raised again",
        "curation/work/stopping.py",
        "    if isinstance(lost.exc_value, Stopped) and _handler is not None:",
        "    if False:",
        (f"{STOPPING}a_signal_that_is_raised_where_nothing_can_be_is_raised_again",),
    ),
    Mutant(
        "what comes while something is begun is raised when it has begun",
        "curation/work/stopping.py",
        "            signal.signal(number, lambda n, _: held.append(n))",
        "            pass",
        (f"{STOPPING}what_comes_while_something_is_begun_is_raised_when_it_has_begun",),
    ),
    Mutant(
        "workers take no Ctrl-C of the terminal",
        "curation/work/stopping.py",
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})",
        "signal.pthread_sigmask(signal.SIG_BLOCK, set())",
        (f"{STOPPING}processes_started_meanwhile_take_no_ctrl_c",),
    ),
    Mutant(
        "killed workers leave no word of semaphores",
        "curation/work/stopping.py",
        '"ignore:resource_tracker:UserWarning"',
        '"default:resource_tracker:UserWarning"',
        (f"{STOPPING}semaphores_of_killed_processes_are_given_back_without_a_word",),
    ),
    Mutant(
        "SIGTERM ends a command as Ctrl-C does",
        "curation/work/stopping.py",
        '("SIGINT", "SIGTERM", "SIGHUP")',
        '("SIGINT", "SIGHUP")',
        (f"{STOPPING}sigterm_ends_a_build_as_ctrl_c_does_and_the_same_command_goes_on[False-none]",),
    ),
    Mutant(
        "batches of batches are refused",
        "curation/stream/ranks.py",
        '            if frame.f_locals.get("auto_collation"):',
        "            if False:",
        ("tests/stream/test_dataset.py::test_a_loader_that_makes_batches_of_batches_is_refused",),
    ),
    Mutant(
        "an id that excludes nothing is told",
        "curation/pipeline.py",
        "    _say_unknown(searches)\n    for",
        "    for",
        ("tests/build/test_walk.py::test_an_id_that_excludes_nothing_is_told_and_one_that_does_is_not",),
    ),
    Mutant(
        "what a catalog says is printable before it is cut",
        "curation/errors/printable.py",
        "    return shortened(printable(ascii(value)), limit)",
        "    return shortened(ascii(value), limit)",
        ("tests/errors/test_printable.py::test_what_is_shown_in_part_is_printable_before_it_is_cut",),
    ),
    Mutant(
        "a URL that is cut off in its password has no host",
        "curation/errors/printable.py",
        'if scheme.lower() in ("http", "https") and not _has_host(rest):',
        "if False:",
        ("tests/errors/test_printable.py::test_a_text_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "user and password are told nowhere, where no slashes are, too",
        "curation/errors/printable.py",
        '_USER.sub("", text)',
        "text",
        ("tests/errors/test_printable.py::test_a_text_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "a catalog's address is a URL",
        "curation/recipe/catalogs.py",
        "    if fault:\n",
        "    if False:\n",
        ("tests/recipe/test_catalogs.py::test_what_is_no_url_is_told_at_once_in_one_line_without_its_secrets",),
    ),
    Mutant(
        "a relative href of an item in a bucket leads into that bucket",
        "curation/scenes/items.py",
        "    if hrefs.scheme_of(address) not in hrefs.BUCKETS:",
        "    if True:",
        ("tests/scenes/test_spelling.py::test_a_relative_href_of_an_item_in_a_bucket_leads_into_that_bucket",),
    ),
    Mutant(
        "what is farther than longitudes and latitudes reach is none",
        "curation/places/regions.py",
        "    if far[0] > _FARTHEST_LON or far[1] > 90:",
        "    if False:",
        ("tests/places/test_regions.py::test_a_file_whose_numbers_are_no_lon_and_lat_is_refused",),
    ),
    Mutant(
        "a file that does not say where it begins has no place",
        "curation/read/georeference.py",
        "        transform = dataset.transform if any(code in values for code in _ORIGINS) else Affine.identity()",
        "        transform = dataset.transform",
        ("tests/read/test_reader.py::test_a_header_that_gives_no_place_to_pixels_is_an_error",),
    ),
    Mutant(
        "values of a CSV file stand under their own names",
        "curation/places/from_file.py",
        "    if not isinstance(table.index, pd.RangeIndex):",
        "    if False:",
        ("tests/places/test_rows.py::test_a_csv_file_whose_values_stand_under_no_name_of_theirs_is_refused",),
    ),
    Mutant(
        "a store is not full for what its objects are called",
        "curation/store/refusals.py",
        "_FULL.search(_without(names, str(err)))",
        "_FULL.search(str(err))",
        (f"{STORAGE}a_store_is_not_full_for_what_its_bucket_or_its_objects_are_called",),
    ),
    Mutant(
        "no source is called as a slab is",
        "curation/recipe/schema.py",
        "for name in (SLAB, UNSHARED_CELL):",
        "for name in (UNSHARED_CELL,):",
        ("tests/recipe/test_recipe.py::test_one_line_says_file_key_value_and_what_is_allowed",),
    ),
    Mutant(
        "what other code wrote is written again",
        "curation/pack/shard.py",
        "            written_by(),\n",
        "",
        ("tests/pack/test_pack.py::test_what_other_code_wrote_is_written_again",),
    ),
)


def main() -> int:
    """0 where every guard is noticed to be gone; each row is printed as it is known."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only guards whose name or file holds one of these")
    words = parser.parse_args().words
    chosen = [m for m in TABLE if not words or any(w in f"{m.guard} {m.file}" for w in words)]
    if not chosen:
        parser.error(f"no guard of the table holds any of {words}")
    with tempfile.TemporaryDirectory(prefix="curation-mutants-") as folder:
        tree = Path(folder) / "tree"
        copied(tree)
        code, said = outcome(tree, sorted({t for m in chosen for t in m.tests}))
        if code != PASSED:
            print(
                f"{said[-2000:]}\nerror: the tests named do not pass as the code stands: they prove nothing of a guard"
            )
            return 1
        width, wrong = max(len(m.guard) for m in chosen), 0
        for m in chosen:  # each is told as it is known: the whole table takes long
            result = tried(tree, m)
            wrong += result != "noticed"
            print(f"{result:<13} {m.guard:<{width}}  {m.file}  {' '.join(m.tests)}", flush=True)
    print(f"{len(chosen)} guards removed: {len(chosen) - wrong} noticed, {wrong} not")
    return 1 if wrong else 0


def copied(tree: Path) -> None:
    """Copies what tests need to a folder of its own."""
    for part in PARTS:
        source, target = ROOT / part, tree / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)


def tried(tree: Path, mutant: Mutant) -> str:
    """`noticed`, `SURVIVED`, `NOT APPLIED` or `ERROR` (the tests did not run to their end)."""
    path = tree / mutant.file
    whole = path.read_text()
    if whole.count(mutant.find) != 1:
        return "NOT APPLIED"
    path.write_text(whole.replace(mutant.find, mutant.replacement))
    try:
        compile(path.read_text(), mutant.file, "exec")
        code, said = outcome(tree, mutant.tests)
    finally:
        path.write_text(whole)
    if code == FAILED and any(line.startswith("FAILED ") for line in said.splitlines()):  # and not pytest itself
        return "noticed"
    print(f"{mutant.guard}: pytest ended with {code}\n{said[-2000:]}", file=sys.stderr)
    return "SURVIVED" if code == PASSED else "ERROR"


def outcome(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit code and words of pytest over some tests of a tree, whose own code is imported."""
    env = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    env.setdefault("CURATION_SHARED", str(ROOT.parent / "shared"))
    check = f"import curation, sys; sys.exit(not curation.__file__.startswith({str(tree)!r}))"
    subprocess.run([sys.executable, "-c", check], cwd=tree, env=env, check=True)
    how = ["-x", "-q", "-m", "", "-p", "no:cacheprovider", "--hypothesis-profile", "thorough", "--timeout", str(HANG_S)]
    command = [sys.executable, "-m", "pytest", *how, *tests]
    command = ["bash", "-c", f'ulimit -v {ROOM_BYTES >> 10}; exec "$@"', "bash", *command]
    try:
        done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return -1, f"no end within {LIMIT_S} s"
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(main())
