"""Guards of `embedded`."""

from tests.mutants.row import Mutant

FLOODS = "tests/embedded/world/test_floods.py"

OLI = "tests/embedded/sensors/test_oli.py"
CAMERA = "tests/embedded/sensors/test_camera.py"

ROWS = (
    Mutant(
        "centres of Landsat's pixels lie on multiples of 30 m",
        "curation/embedded/world/grids.py",
        "math.floor((w - 15) / 30) * 30 + 15, math.ceil((n - 15) / 30) * 30 + 15",
        "math.floor(w / 30) * 30, math.ceil(n / 30) * 30",
        (f"{OLI}::test_centres_of_pixels_lie_on_multiples_of_30_m",),
    ),
    Mutant(
        "what Landsat did not see is fill in its bands",
        "curation/embedded/sensors/oli.py",
        "                part[~inside[rows]] = FILL\n",
        "                pass\n",
        (f"{OLI}::test_beyond_the_swath_is_fill_and_nothing_else_is",),
    ),
    Mutant(
        "a pixel beside a cloud is not called clear",
        "curation/embedded/sensors/oli.py",
        "(CLEAR, ~cloud & ~dilated)",
        "(CLEAR, ~cloud)",
        (f"{OLI}::test_the_mask_says_what_the_bands_show",),
    ),
    Mutant(
        "what an aerial picture shows within a pixel of the ground averages out",
        "curation/embedded/sensors/camera.py",
        "        out += height * np.sin",
        "        out += np.abs(height) * np.abs(np.sin(right)) + 0 * np.sin",
        (f"{CAMERA}::test_the_mean_over_a_pixel_of_the_ground_is_what_the_ground_is",),
    ),
    Mutant(
        "the fourth band of a picture is no transparency",
        "curation/embedded/archive/blockfile.py",
        "[0] * (self.bands - 3)",
        "[2] * (self.bands - 3)",
        (
            "tests/embedded/archive/test_blockfile.py::"
            "test_several_bands_lie_pixel_by_pixel_and_none_of_them_is_transparency",
        ),
    ),
    Mutant(
        "no water stands in a hollow that nothing leads to",
        "curation/embedded/world/floods.py",
        "under & reached & ~permanent",
        "under & ~permanent",
        (f"{FLOODS}::test_water_spreads_over_low_ground_from_rivers_on_and_falls",),
    ),
    Mutant(
        "radar sees a flood",
        "curation/embedded/archive/archive.py",
        "        if level_m is None:\n            return dry",
        "        if True:\n            return dry",
        (f"{FLOODS}::test_radar_sees_water_where_it_stands",),
    ),
    Mutant(
        "a map shows the water of its own image",
        "curation/embedded/archive/floodmaps.py",
        "        level = flood.level_m(each.image)",
        "        level = flood.high_m",
        (f"{FLOODS}::test_maps_show_the_water_of_their_own_image_and_some_polygons_are_no_valid_ones",),
    ),
    Mutant(
        "the two maps' errors go together as much as is said",
        "curation/embedded/sensors/mistakes.py",
        "    own = 1 - its.correlation\n",
        "    own = 1.0\n",
        ("tests/embedded/sensors/test_mistakes.py::test_errors_of_both_maps_go_together_as_much_as_is_said",),
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
        "maps that a recipe brings along are of the floods as they are",
        "curation/embedded/world/floods.toml",
        "high_m = 0.7",
        "high_m = 0.72",
        (f"{FLOODS}::test_what_the_recipe_brings_along_is_what_is_mapped_of_these_floods",),
    ),
    Mutant(
        "wind roughens water as much as a region has of it, and no other's",
        "curation/embedded/sensors/radar.py",
        "return scene.region.wind_db * strength**2",
        "return 8.0 * strength**2",
        ("tests/embedded/sensors/test_radar.py::test_weather_is_where_floods_come_and_each_scene_has_its_own_wind",),
    ),
    Mutant(
        "what one Earth rendered is never served as another's",
        "curation/embedded/service/server.py",
        '    mark = rendering() if its == PLAIN_TRAITS else f"{rendering()}-{its.name}"',
        "    mark = rendering()",
        (
            "tests/embedded/service/test_server.py::test_a_harder_earth_is_served_by_its_name_and_has_a_cache_of_its_own",
        ),
    ),
    Mutant(
        "a date that lies beside its place is not seen as another one",
        "curation/embedded/archive/archive.py",
        "            (grid, level_m, shift), lambda",
        "            (grid, level_m), lambda",
        ("tests/embedded/world/test_traits.py::test_each_date_is_seen_where_it_lies",),
    ),
    Mutant(
        "regions of the Earth that is served by default are as they were",
        "curation/embedded/world/regions.py",
        "Regional(self.seed) if self.traits.regions else None",
        "Regional(self.seed)",
        ("tests/embedded/world/test_traits.py::test_kinds_look_otherwise_in_each_region",),
    ),
    Mutant(
        "small objects are there where they are asked for alone",
        "curation/embedded/world/ground.py",
        "    if lay.region.traits.objects:",
        "    if True:",
        ("tests/embedded/world/test_traits.py::test_objects_are_small_and_narrow_and_little_of_the_ground",),
    ),
)
