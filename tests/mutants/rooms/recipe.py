"""Guards of `recipe`."""

from tests.mutants.row import Mutant

ROWS = (
    Mutant(
        "no two sources measure what is called the same",
        "curation/recipe/dataset.py",
        "        self._check_facts()\n",
        "",
        ("tests/recipe/test_recipe.py::test_two_sources_of_one_fact_are_refused",),
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
        "curation/recipe/annotations.py",
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
        'not re.fullmatch(r"[a-z0-9_-]{1,60}", name) or not is_free(name) or name in self.sources:',
        "False:",
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
        "curation/recipe/sources.py",
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
        "and season.around not in self.places.columns:",
        "and False:",
        ("tests/recipe/test_seasons.py::test_its_column_is_one_that_locations_carry",),
    ),
    Mutant(
        "of the embedded Earth is everything, whatever a recipe says of a source",
        "curation/recipe/catalogs.py",
        "rest if is_world else use.catalog or rest for",
        "use.catalog or rest for",
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
        "use.catalog or rest for",
        "catalog or use.catalog or rest for",
        (
            "tests/recipe/test_catalogs.py"
            "::test_what_is_said_of_a_source_goes_before_what_is_said_of_all_and_of_either_the_command_before_the_recipe",
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
        "return self.season_names() if self.specs[source].pick.one_way else [season]",
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
)
