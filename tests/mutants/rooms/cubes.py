"""Guards of `cubes`."""

from tests.mutants.row import Mutant

ROWS = (
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
        "curation/cubes/chunks.py",
        'shuffle="bitshuffle"), Crc32cCodec()',
        'shuffle="bitshuffle"),',
        ("tests/cubes/test_cube.py::test_every_array_of_a_cube_ends_its_chunks_with_a_checksum",),
    ),
    Mutant(
        "chunks of text end with a checksum",
        "curation/cubes/chunks.py",
        "return ZstdCodec(), Crc32cCodec()",
        "return (ZstdCodec(),)",
        ("tests/cubes/test_cube.py::test_every_array_of_a_cube_ends_its_chunks_with_a_checksum",),
    ),
    Mutant(
        "the index of a Zarr shard is what was written",
        "curation/cubes/zarrshard.py",
        ' or struct.unpack("<I", crc)[0] != google_crc32c.value(packed):',
        ":",
        ("tests/cubes/test_zarrshard.py::test_a_flipped_byte_of_the_index_is_damage",),
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
        "the report has packing's rule of completeness",
        "curation/cubes/complete.py",
        "    if any(v.state == COMPLETE for v in children):\n        return Verdict(COMPLETE)",
        "    if False:\n        return Verdict(COMPLETE)",
        ("tests/cubes/test_complete.py::test_a_root_is_what_its_children_make_of_it_where_anything_will_do",),
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
        "data = read_checked(cube.store, recorded, key)",
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
    Mutant(
        "a cube is bound to the dates of its locations",
        "curation/cubes/cube.py",
        "*windows.marks(self.its, p)",
        "*[]",
        ("tests/cubes/test_windows.py::test_another_date_of_a_location_is_refused_wherever_the_old_one_was_used",),
    ),
    Mutant(
        "a cube gives its dates back",
        "curation/cubes/contents.py",
        'windows.dates(identity(store, recorded, cube.prefix, "date"))',
        'windows.dates([float("nan")] * len(lon))',
        ("tests/cubes/test_windows.py::test_a_cube_gives_its_dates_back_to_whoever_reads_it_without_the_draw",),
    ),
    Mutant(
        "a class that is declared as nodata is no gap",
        "curation/cubes/labels.py",
        "    elif gaps is not False and gaps in names:",
        "    elif False:",
        ("tests/pack/labels/test_maps.py::test_a_map_whose_masked_pixels_may_be_water_is_refused",),
    ),
)
