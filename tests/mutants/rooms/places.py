"""Guards of `places`."""

from tests.mutants.row import Mutant

ROWS = (
    Mutant(
        "places that are added move none that stand",
        "curation/places/order.py",
        '    return np.searchsorted(np.asarray(sizes, np.int64), rank, side="right")',
        "    return np.zeros(len(rank), np.int64)",
        (
            "tests/cubes/test_bound.py::test_what_has_grown_is_what_is_built_at_once_and_nothing_that_stands_is_built_again",
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
        "an empty point moves no other row",
        "curation/places/from_file.py",
        "    if len(nowhere):",
        "    if False:",
        ("tests/places/test_rows.py::test_an_empty_point_is_refused_and_moves_no_other",),
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
        "a footprint reaches no farther than the split believes",
        "curation/places/reach.py",
        "        if bad.any():\n            k = int(np.argmax(bad))",
        "        if False:\n            k = int(np.argmax(bad))",
        ("tests/pack/splits/test_ground.py::test_a_footprint_that_its_crs_makes_larger_than_its_side_says_is_refused",),
    ),
    Mutant(
        "a column of several types is refused",
        "curation/places/user_columns.py",
        "    if not kind:\n",
        "    if False:\n",
        ("tests/places/test_user_columns.py::test_what_is_of_no_one_type_is_refused",),
    ),
    Mutant(
        "what is farther than longitudes and latitudes reach is none",
        "curation/places/regions.py",
        "    if far[0] > _FARTHEST_LON or far[1] > 90:",
        "    if False:",
        ("tests/places/test_regions.py::test_a_file_whose_numbers_are_no_lon_and_lat_is_refused",),
    ),
    Mutant(
        "values of a CSV file stand under their own names",
        "curation/places/from_file.py",
        "    if not isinstance(table.index, pd.RangeIndex):",
        "    if False:",
        ("tests/places/test_rows.py::test_a_csv_file_whose_values_stand_under_no_name_of_theirs_is_refused",),
    ),
    Mutant(
        "a season lies around dates alone",
        "curation/places/dates.py",
        "    if values.type != TIME:",
        "    if False:",
        ("tests/places/test_dates.py::test_what_is_no_date_is_told_with_a_place_that_has_it",),
    ),
    Mutant(
        "a date that is a slip is told",
        "curation/places/dates.py",
        "    if at >= 0:",
        "    if False:",
        ("tests/places/test_dates.py::test_what_is_no_date_is_told_with_a_place_that_has_it",),
    ),
)
