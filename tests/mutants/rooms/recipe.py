"""Guards of `recipe`."""

from tests.mutants.row import Mutant

FLOODS = "tests/test_kuro_siwo.py"

ROWS = (
    Mutant(
        "the bytes of what balances a draw are in its digest",
        "curation/recipe/places.py",
        '            parts["balance"] = files.sha256_of(its.path(recipe))\n',
        "            pass\n",
        ("tests/places/test_strata.py::test_the_draw_follows_from_the_raster_s_bytes_and_tables_have_what_is_made",),
    ),
    Mutant(
        "of two masks that are joined the worse is believed",
        "curation/recipe/masked.py",
        "np.where(order[one] <= order[other], one, other)",
        "one",
        ("tests/build/test_masks.py::test_of_two_masks_the_worse_is_believed_and_codes_of_no_set_are_an_error",),
    ),
    Mutant(
        "of two images before a flood the one that is called the second is the earlier",
        "manifests/kuro-siwo/recipe.toml",
        """pick = { name = "latest-before", nth = 2, one_relative_orbit = true }
direction_from = ["pre2", "pre1", "post"]
[sources.s1pre1]
of = "s1rtc"
min_valid = 1.0
seasons = ["pre1"]
pick = { name = "latest-before", one_relative_orbit = true }
""",
        """pick = { name = "latest-before", one_relative_orbit = true }
direction_from = ["pre2", "pre1", "post"]
[sources.s1pre1]
of = "s1rtc"
min_valid = 1.0
seasons = ["pre1"]
pick = { name = "latest-before", nth = 2, one_relative_orbit = true }
""",
        (f"{FLOODS}::test_every_triplet_is_after_and_twice_before_its_event_of_one_orbit_and_of_three_scenes",),
    ),
    Mutant(
        "all images of a flood are of one relative orbit",
        "manifests/kuro-siwo/recipe.toml",
        'pick = { name = "first-after", one_relative_orbit = true }',
        'pick = { name = "first-after" }',
        (f"{FLOODS}::test_every_triplet_is_after_and_twice_before_its_event_of_one_orbit_and_of_three_scenes",),
    ),
    Mutant(
        "a pixel without data has no value, whatever arithmetic says",
        "curation/recipe/formula.py",
        "missing | ~np.isfinite(found)",
        "~np.isfinite(found)",
        ("tests/recipe/test_formula.py::test_a_formula_is_arithmetic_where_there_is_data_and_a_number",),
    ),
    Mutant(
        "an angle that no sun can stand at is none",
        "curation/recipe/angles.py",
        " and by.least <= value <= by.most:",
        ":",
        ("tests/recipe/test_angles.py::test_what_can_be_no_angle_is_told_and_is_none",),
    ),
    Mutant(
        "angles of several scenes that differ are no angle of the patch",
        "curation/recipe/angles.py",
        "known[0] if known and alike else None",
        "known[0] if known else None",
        ("tests/recipe/test_angles.py::test_of_several_scenes_an_angle_is_known_where_they_agree",),
    ),
    Mutant(
        "a formula is not nested for ever",
        "curation/recipe/formula.py",
        "    if depth == 0:\n",
        "    if False:\n",
        ("tests/recipe/test_formula.py::test_what_is_no_formula_is_refused_and_never_executed",),
    ),
    Mutant(
        "nothing is resampled where arrays are derived",
        "curation/recipe/derived.py",
        "(other.pixel, other.px) != (first.pixel, first.px)",
        "False",
        ("tests/recipe/test_derived.py::test_what_cannot_be_derived_is_refused_with_what_to_do",),
    ),
    Mutant(
        "another formula is another release",
        "curation/recipe/dataset.py",
        "for n, its in self.derived.items()}} if self.derived else {})",
        "for n, its in self.derived.items()}} if False else {})",
        ("tests/recipe/test_derived.py::test_the_release_follows_from_formulas_and_nothing_does_where_none_is",),
    ),
    Mutant(
        "another scale of what is derived of is another release",
        "curation/recipe/derived.py",
        "[i.band, i.array, i.number, i.scale]",
        "[i.band, i.array, i.number]",
        ("tests/recipe/test_derived.py::test_the_release_follows_from_how_many_times_inputs_are_stored",),
    ),
    Mutant(
        "a catalog that is named for a source goes before the folder of its file",
        "curation/recipe/catalogs.py",
        "its.get(n) or own.get(n) or rest",
        "own.get(n) or its.get(n) or rest",
        ("tests/build/test_vectors.py::test_a_source_of_shapes_is_looked_at_by_itself_and_told_another_folder",),
    ),
    Mutant(
        "pixels cover the whole footprint",
        "curation/recipe/footprint.py",
        "return math.ceil(size / step - _WHOLE)",
        "return round(size / step)",
        (
            "tests/places/test_grid.py::test_pixels_of_every_size_begin_at_one_corner_and_cover_the_footprint_with_no_row_too_many",
        ),
    ),
    Mutant(
        "an orbit direction follows from the seasons that are said",
        "curation/recipe/dataset.py",
        "        return [s for s in self.season_names() if said is None or s in said]",
        "        return self.season_names()",
        ("tests/recipe/test_recipe.py::test_the_seasons_that_decide_an_orbit_direction_are_said",),
    ),
    Mutant(
        "a place is excluded for a reason",
        "curation/recipe/exclude.py",
        "                if not name or not why:",
        "                if not name:",
        ("tests/report/test_worst.py::test_a_file_that_gives_no_reason_is_refused",),
    ),
    Mutant(
        "what is excluded is in the release's digest",
        "curation/recipe/dataset.py",
        '            | ({"exclude": exclude.read(r.exclude, self.path)} if r.exclude else {})\n',
        "",
        (
            "tests/report/test_worst.py::test_what_is_excluded_is_counted_with_its_reason_and_the_next_of_the_draw_takes_its_place",
        ),
    ),
    Mutant(
        "a pixel with a bit of cloud is cloudy, whatever else is set",
        "curation/recipe/values.py",
        'PRECEDENCE = ("invalid", "cloudy", "snow", "doubtful", "clear")',
        'PRECEDENCE = ("invalid", "snow", "cloudy", "doubtful", "clear")',
        ("tests/recipe/test_values.py::test_each_of_the_65536_codes_of_landsats_mask_is_what_its_bits_say",),
    ),
    Mutant(
        "a number of a mask that no rule holds of is no clear ground",
        "curation/recipe/values.py",
        "if (foreign := np.unique(raw[valid & ~known])).size:",
        "if (foreign := np.unique(raw[:0])).size:",
        ("tests/recipe/test_values.py::test_what_is_of_none_of_the_sets_is_no_guess",),
    ),
    Mutant(
        "a mask that is no number is no clear ground",
        "curation/recipe/values.py",
        "            valid &= ~np.isnan(raw)\n",
        "",
        ("tests/recipe/test_values.py::test_a_probability_is_a_mask_by_limits_that_are_not_among_what_is_meant",),
    ),
    Mutant(
        "a scaled number does not wrap",
        "curation/recipe/values.py",
        "if (odd := out[~((out >= limits.min) & (out <= limits.max))]).size:",
        "if (odd := out[:0]).size:",
        ("tests/recipe/test_values.py::test_a_number_that_wraps_or_becomes_nodata_is_an_error",),
    ),
    Mutant(
        "a scaled number does not become nodata",
        "curation/recipe/values.py",
        "if (out[valid] == nodata).any():",
        "if False:",
        ("tests/recipe/test_values.py::test_a_number_that_wraps_or_becomes_nodata_is_an_error",),
    ),
    Mutant(
        "each band of a file of all bands is told",
        "curation/recipe/forms.py",
        "if self.file is not None and not self.file.tells_bands and len(bands) > 1 and missing:",
        "if False:",
        ("tests/scenes/test_geotiffs.py::test_a_file_of_all_bands_must_say_which_is_which",),
    ),
    Mutant(
        "a folder of other headers is another catalog",
        "curation/recipe/folders.py",
        '} {size} ".encode() + head + file.read(HEAD_BYTES))',
        '} {size} ".encode())',
        ("tests/scenes/test_geotiffs.py::test_a_folder_is_known_by_what_it_holds_wherever_it_lies",),
    ),
    Mutant(
        "a source beside the recipe comes before one that is shipped",
        "curation/recipe/sourcefiles.py",
        "known = shipped() | own(recipe)",
        "known = own(recipe) | shipped()",
        (
            "tests/recipe/test_sourcefiles.py::"
            "test_a_source_beside_the_recipe_comes_before_the_one_that_is_shipped_and_changes_the_digest",
        ),
    ),
    Mutant(
        "a source is called as its file is",
        "curation/recipe/sourcefiles.py",
        "if spec.name != path.stem:",
        "if False:",
        ("tests/recipe/test_sourcefiles.py::test_what_is_wrong_names_the_file",),
    ),
    Mutant(
        "a default that is written down is the same dataset",
        "curation/recipe/schema.py",
        'exclude_if=lambda value: value != "correct"',
        "exclude_if=lambda value: value is None",
        ("tests/build/test_ground_range.py::test_refusing_over_relief_is_the_same_dataset_as_saying_nothing_of_it",),
    ),
    Mutant(
        "no two sources measure what is called the same",
        "curation/recipe/dataset.py",
        "        self._check_facts()\n",
        "",
        ("tests/recipe/test_recipe.py::test_two_sources_of_one_fact_are_refused",),
    ),
    Mutant(
        "a pick of the recipe goes before that of the source",
        "curation/recipe/uses.py",
        '("pick", "angles")',
        '("angles",)',
        ("tests/recipe/test_recipe.py::test_a_pick_of_the_recipe_goes_before_that_of_the_source_on_each_level",),
    ),
    Mutant(
        "a partner is sought beyond the season's window",
        "curation/recipe/dataset.py",
        "if self.specs[source].pick.follows is None:",
        "if True:",
        (
            "tests/build/test_walk.py::test_radar_is_sought_beyond_the_seasons_window_as_far_as_it_may_lie_from_its_partner",
        ),
    ),
    Mutant(
        "a worker does not get what lets one into a catalog",
        "curation/recipe/catalogs.py",
        'self.is_file, self.own, "")',
        "self.is_file, self.own, self.secret_url)",
        ("tests/errors/test_printable.py::test_a_catalog_is_called_and_kept_without_its_secrets_which_no_worker_gets",),
    ),
    Mutant(
        "a catalog is called and kept without its secrets",
        "curation/recipe/catalogs.py",
        'shown = unsigned(url).rstrip("/")',
        'shown = url.rstrip("/")',
        ("tests/errors/test_printable.py::test_a_catalog_is_called_and_kept_without_its_secrets_which_no_worker_gets",),
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
        "bands of a source have names of their own",
        "curation/recipe/sources.py",
        '        if twice := sorted({n for n in known if known.count(n) > 1}):\n            raise ValueError(f"[bands]',
        '        if twice := []:\n            raise ValueError(f"[bands]',
        ("tests/recipe/test_sources.py::test_bands_that_are_told_wrongly_are_refused",),
    ),
    Mutant(
        "a centre goes with a width",
        "curation/recipe/bands.py",
        'if (getattr(self, f"centre_{unit}") is None) != (getattr(self, f"width_{unit}") is None):',
        "if False:",
        ("tests/recipe/test_sources.py::test_bands_that_are_told_wrongly_are_refused",),
    ),
    Mutant(
        "code lies in the folder of its recipe",
        "curation/recipe/files.py",
        "    if not path.is_relative_to(folder):\n",
        "    if False:\n",
        ("tests/pack/test_annotate.py::test_a_function_that_is_not_there_is_told_before_anything_is_read",),
    ),
    Mutant(
        "a release follows from the code of its annotations",
        "curation/recipe/dataset.py",
        'a.spec.model_dump(mode="json"), a.sha256]',
        'a.spec.model_dump(mode="json")]',
        ("tests/pack/test_annotate.py::test_other_code_is_another_release",),
    ),
    Mutant(
        "a column of the file is called as an entry of a sample may be",
        "curation/recipe/schema.py",
        "return FORM.fullmatch(name) is not None and is_free(name) and name not in self.sources",
        "return True",
        ("tests/recipe/test_recipe.py::test_a_column_of_the_file_is_called_as_an_entry_of_a_sample_may_be",),
    ),
    Mutant(
        "a buffer below the widest pixel is refused",
        "curation/recipe/dataset.py",
        "        if rule.buffer_km < km:",
        "        if False:",
        (
            "tests/pack/splits/test_ground.py::test_a_buffer_below_the_widest_pixel_of_any_source_is_refused_with_what_would_do",
        ),
    ),
    Mutant(
        "a source names a pick or a kind that there is",
        "curation/recipe/tagged.py",
        "    if name not in known:",
        "    if False:",
        ("tests/recipe/test_sources.py::test_what_contradicts_itself_is_refused_with_the_reason",),
    ),
    Mutant(
        "a catalog's address is a URL",
        "curation/recipe/catalogs.py",
        "    if fault:\n",
        "    if False:\n",
        ("tests/recipe/test_catalogs.py::test_what_is_no_url_is_told_at_once_in_one_line_without_its_secrets",),
    ),
    Mutant(
        "no source is called as a slab is",
        "curation/recipe/schema.py",
        "name in (SLAB, UNSHARED_CELL) or ",
        "",
        ("tests/recipe/test_recipe.py::test_one_line_says_file_key_value_and_what_is_allowed",),
    ),
    Mutant(
        "a season lies around a column that locations carry",
        "curation/recipe/schema.py",
        "and not self.places.may_carry(season.around):",
        "and False:",
        ("tests/recipe/test_seasons.py::test_its_column_is_one_that_locations_carry",),
    ),
    Mutant(
        "of the embedded Earth is everything, whatever a recipe says of a source",
        "curation/recipe/catalogs.py",
        "if catalog != EMBEDDED and use.catalog",
        "if use.catalog",
        (
            "tests/recipe/test_catalogs.py"
            "::test_what_is_said_of_a_source_goes_before_what_is_said_of_all_and_of_either_the_command_before_the_recipe",
        ),
    ),
    Mutant(
        "the digest of pixels holds the catalog of each source",
        "curation/recipe/dataset.py",
        '"catalog": asked if len(set(asked.values())) > 1 else next(iter(asked.values())),',
        '"catalog": next(iter(asked.values())),',
        ("tests/recipe/test_catalogs.py::test_which_source_has_another_catalog_is_told_and_nothing_of_the_others",),
    ),
    Mutant(
        "keys of two accounts are never mixed",
        "curation/recipe/access.py",
        "for what, name in self._counts.items() if",
        "for what in self._sets[0] for name in [i[what] for i in self._sets] if",
        ("tests/recipe/test_access.py::test_keys_are_of_one_set_and_a_set_that_is_begun_is_not_made_whole_by_another",),
    ),
    Mutant(
        "keys of --root are not those of CDSE",
        "stac_queries/catalogs.toml",
        'access_key_id = ["CDSE_S3_ACCESS_KEY_ID"]\nsecret_access_key = ["CDSE_S3_SECRET_ACCESS_KEY"]\n',
        'access_key_id = ["CDSE_S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"]\n'
        'secret_access_key = ["CDSE_S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"]\n',
        ("tests/recipe/test_access.py::test_what_is_not_set_is_told_by_name_for_public_catalogs_that_are_asked",),
    ),
    Mutant(
        "L1C of Earth Search carries what ESA's files do",
        "stac_queries/s2l1c.toml",
        '[catalogs.earth-search]\ncollection = "sentinel-2-l1c"\noffset = "baseline"\n',
        '[catalogs.earth-search]\ncollection = "sentinel-2-l1c"\noffset = "none"\n',
        ("tests/scenes/test_recorded.py::test_each_recorded_item_of_level_1c_is_read_as_its_files_are",),
    ),
    Mutant(
        "what a recipe says of a source is not undone by who is asked for the rest",
        "curation/recipe/catalogs.py",
        "its.get(n) or own.get(n) or rest for",
        "catalog or its.get(n) or own.get(n) or rest for",
        (
            "tests/recipe/test_catalogs.py"
            "::test_what_is_said_of_a_source_goes_before_what_is_said_of_all_and_of_either_the_command_before_the_recipe",
        ),
    ),
    Mutant(
        "a folder of maps is no catalog for being called as one that has no address",
        "curation/recipe/catalogs.py",
        " if not row.named_by}",
        "}",
        ("tests/pack/labels/test_importing.py::test_a_catalog_is_told_by_what_is_there",),
    ),
    Mutant(
        "a catalog that a flag names is nobody until it does",
        "curation/recipe/catalogs.py",
        " and use.catalog not in nobody}",
        "}",
        (
            "tests/recipe/test_catalogs.py"
            "::test_who_is_to_be_named_is_nobody_until_then_and_digests_have_who_is_asked_in_the_end",
        ),
    ),
    Mutant(
        "a netrc file's default is sent to nobody",
        "curation/recipe/access.py",
        "found = netrc.netrc(str(path)).hosts.get(host)",
        "found = netrc.netrc(str(path)).authenticators(host)",
        ("tests/read/test_login.py::test_a_login_is_sent_what_the_netrc_file_says_and_nobody_else_is",),
    ),
    Mutant(
        "a cube is bound to dates of other seasons that decide its pixels",
        "curation/recipe/dataset.py",
        "[season, *(n for spec in self.sources(season) for n in self.looks_at(spec.name, season))]",
        "[season]",
        (
            "tests/cubes/test_windows.py::test_a_date_of_another_season_that_decides_pixels_is_refused_as_ones_own_is",
            "tests/cubes/test_windows.py::test_a_cube_gives_the_dates_of_others_back_and_readers_know_them_as_times",
            "tests/cubes/test_windows.py::test_what_binds_a_cube_changes_with_a_date_where_its_searches_do_and_nowhere_else",
        ),
    ),
    Mutant(
        "what no pixel follows from binds no cube",
        "curation/recipe/dataset.py",
        "return [s for s in self.season_names() if s == season or s in others] if others else [season]",
        "return self.season_names()",
        ("tests/cubes/test_windows.py::test_searches_are_one_for_each_window_as_the_estimate_said",),
    ),
    Mutant(
        "GRD without heights to judge it is no recipe",
        "curation/recipe/dataset.py",
        "        if judge is not None and (judge not in self.specs or not self.specs[judge].timeless):",
        "        if False:",
        ("tests/build/test_ground_range.py::test_a_recipe_that_has_no_heights_is_refused_and_says_what_to_add",),
    ),
    Mutant(
        "what a rule of the split wants of the recipe is asked",
        "curation/recipe/schema.py",
        "        self.split.check(self)\n",
        "",
        ("tests/pack/test_new_rule.py::test_what_it_cannot_be_is_told_with_what_is_allowed",),
    ),
    Mutant(
        "the codes of a mask are drawn as its source says, each apart",
        "curation/recipe/sources.py",
        "        return [self._mask_drawn()] if array.is_mask else self.kind.pictures(self, array)",
        "        return self.kind.pictures(self, array)",
        ("tests/report/test_panels.py::test_a_mask_is_called_and_coloured_as_its_source_says",),
    ),
    Mutant(
        "a legend of a mask names all of its codes",
        "curation/recipe/sources.py",
        "        if sorted(codes) != sorted(self.mask_codes):\n",
        "        if False:\n",
        ("tests/report/test_panels.py::test_a_legend_names_the_codes_of_its_mask_and_no_others",),
    ),
    Mutant(
        "a slab with a time axis holds no more than has room",
        "curation/recipe/steps.py",
        "return most if not one else max(1, min(most, room // one))",
        "return most",
        ("tests/test_series.py::test_slabs_and_shards_hold_no_more_than_has_room",),
    ),
    Mutant(
        "nothing goes with a composite",
        "curation/recipe/uses.py",
        "    if not its.has_one_scene or specs[other].timeless:\n",
        "    if False:\n",
        ("tests/recipe/test_recipe.py::test_a_pick_of_the_recipe_is_checked_as_that_of_the_source_is",),
    ),
    Mutant(
        "the finest pixels cover a footprint and no more",
        "curation/recipe/dataset.py",
        "        if not divides(size_m, res_m):",
        "        if False:",
        ("tests/recipe/test_recipe.py::test_one_line_says_file_key_value_and_what_is_allowed",),
    ),
    Mutant(
        "a size in pixels is one in metres to every digest",
        "curation/recipe/footprint.py",
        '    size_px: int | None = Field(default=None, gt=0, exclude=True)\n    """The same',
        '    size_px: int | None = Field(default=None, gt=0)\n    """The same',
        ("tests/recipe/test_recipe.py::test_a_size_in_pixels_is_that_size_in_metres_to_the_digest",),
    ),
    Mutant(
        "the last of a rule's seasons ends when the rule does",
        "curation/recipe/season_rules.py",
        "        after = min(following(start), end)",
        "        after = following(start)",
        ("tests/recipe/test_season_rules.py::test_runs_of_days_tile_what_is_asked_for",),
    ),
    Mutant(
        "no month is cut by a rule",
        "curation/recipe/season_rules.py",
        "        if day.day > 1 or (day.month - 1) % months:",
        "        if False:",
        ("tests/recipe/test_season_rules.py::test_one_line_says_what_is_wrong_and_names_the_forms",),
    ),
    Mutant(
        "all bytes of shapes are in the digest",
        "curation/recipe/folders.py",
        '            found.update(hashlib.file_digest(file, "sha256").digest())\n',
        "            pass\n",
        (
            "tests/build/test_vectors.py::test_a_value_of_no_class_fails_with_its_code_and_a_changed_file_is_another_dataset",
        ),
    ),
    Mutant(
        "a pipe beside GeoTIFFs is not waited for",
        "curation/recipe/folders.py",
        "in endings and p.is_file())",
        "in endings)",
        ("tests/store/test_local.py::test_beside_geotiffs_what_is_no_file_says_nothing_of_them",),
    ),
    Mutant(
        "a share is asked of a class that the map has",
        "curation/recipe/uses.py",
        "if odd := [name for name in wanted if name not in known]:",
        "if odd := []:",
        ("tests/build/test_min_share.py::test_what_no_map_can_have_is_told",),
    ),
    Mutant(
        "a draw that is balanced by regions follows from their outlines",
        "curation/recipe/places.py",
        "if its is not None and its.by_region:",
        "if False:",
        ("tests/places/test_strata.py::test_regions_alone_are_balanced_and_their_outlines_are_in_the_digest",),
    ),
    Mutant(
        "rows of the embedded Earth are read for its catalog alone",
        "manifests/fomo/recipe.toml",
        'file = "trees-of-yours.csv"',
        'file = "trees.csv"         ',
        ("tests/pack/test_classes_within.py::test_rows_of_the_embedded_earth_are_read_for_it_alone",),
    ),
)
