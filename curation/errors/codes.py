"""The reasons that are recorded for a patch, with what each means. They are stable: ledgers hold them."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Why something was rejected, dropped or is absent. Stable: they stand in ledgers and releases."""

    NO_SCENE = "no_scene"
    """The catalog has no scene of the source that touches the patch in the season."""
    NO_DATE = "no_date"
    """The season lies around a date of the location, which has none."""
    PARTIAL_COVERAGE = "partial_coverage"
    """Scenes touch the patch, none covers it wholly."""
    TOO_FEW = "too_few"
    """The pick takes the nth of the scenes that are good enough, and there are fewer."""
    WRONG_SIDE = "wrong_side"
    """Scenes cover the patch in the season, all before (after) its anchor where the pick wants one after (before)."""
    CLOUDY = "cloudy"
    """No covering scene reaches the recipe's clear fraction on the patch."""
    DOUBTFUL = "doubtful"
    """Clear by its mask, which is itself unsure of too much of the patch."""
    SNOWY = "snowy"
    """Clear by its mask, which calls more of the patch snow than the recipe allows."""
    NODATA = "nodata"
    """No covering scene reaches the recipe's valid fraction on the patch."""
    FEW_OF_CLASS = "few_of_class"
    """A class map has less of a class on the patch than the recipe wants."""
    HOLE = "hole"
    """Scenes of a mosaic leave open too much of the patch that is not known to be sea, or there is none."""
    TIME_GAP = "time_gap"
    """The nearest scene is further in time from the scene it goes with, good enough itself, than the recipe allows."""
    EXHAUSTED = "exhausted"
    """As many masks were read as the recipe allows, none passed, and so many scenes were not looked at."""
    EXCLUDED = "excluded"
    """Each scene that might be used is one that the recipe excludes."""
    NO_ORBIT = "no_orbit"
    """Scenes exist, none in the orbit direction, or of the relative orbit, that is asked for or fixed for the location."""
    ORBIT_UNSTATED = "orbit_unstated"
    """The recipe wants precise orbits, and no scene says where its orbit is from: nothing is guessed."""
    ORBIT_IMPRECISE = "orbit_imprecise"
    """The recipe wants precise orbits, and scenes of others alone cover the patch."""
    NO_MATCH = "no_match"
    """No scene of the same acquisition (labels that belong to one image)."""
    OFFSET_CONFLICT = "offset_conflict"
    """Metadata and the scene's pixels disagree on whether these carry the +1000 offset."""
    OFFSET_UNPROVEN = "offset_unproven"
    """What metadata say of the +1000 offset is known to be wrong too often, and the scene's pixels do not bear it out."""
    IMPOSSIBLE = "impossible"
    """Too many clear pixels are brighter than any surface, or of radar than any target: they cannot be what they should."""
    RELIEF = "relief"
    """Relief displaces pixels of an image in slant range by more than half a pixel; or further than can be corrected."""
    RELIEF_UNKNOWN = "relief_unknown"
    """By how much relief displaces pixels is not known: heights are missing on the patch."""
    OLD_ANNOTATION = "old_annotation"
    """A radar scene is of a processor before 002.90, whose noise is stated otherwise and whose borders are not clean."""
    SHIFTED = "shifted"
    """A source lies beside the one it goes with by more pixels than the recipe allows, by a sharp measurement."""
    UNREADABLE = "unreadable"
    """A file of a source that the recipe does not require is gone or damaged, and none stands in: the patch has it not."""
    UNREADABLE_ITEM = "unreadable_item"
    """No scene will do, but an item of the catalog that could not be read may be one that would: failed, and tried again."""
    LOCAL_HREF = "local_href"
    """An href leads to a file of the machine that reads, where the recipe lets none lie: failed, and never opened."""
    UNTRUSTED = "untrusted"
    """The certificate of a server is not trusted: failed; asked for once."""
    NO_ACCESS = "no_access"
    """What lets one in where files lie (keys, a login) is not set on the machine that reads, or is refused: failed."""
    NO_GEOID = "no_geoid"
    """The geoid that heights are told from is not among PROJ's grids on the machine that reads: failed."""
    NO_TILE = "no_tile"
    """A scene's id names no tile, or no time of it is known, so that its image cannot be asked for elsewhere: failed."""
    BAD_SHAPES = "bad_shapes"
    """A vector file cannot be read: it is damaged, lacks parts, is not UTF-8, or has no such layer: failed."""
    NO_CRS = "no_crs"
    """A vector file does not state where on Earth its coordinates are: failed."""
    NO_COLUMN = "no_column"
    """A vector file, or the file of places, has not the column that a source asks shapes by: failed."""
    NO_SHAPES = "no_shapes"
    """A layer of a vector file is empty, and its source does not say that it may be: failed."""
    UNKNOWN_VALUE = "unknown_value"
    """A shape's column holds what its source says no class of: failed."""
    UPSTREAM = "upstream"
    """Not looked at, because the source it goes with was rejected."""
    OUTSIDE_REGIONS = "outside_regions"
    """Of a row of a file of places: its centre lies in none of the regions."""
    SAME_GRID = "same_grid"
    """Of a row of a file of places: an earlier row has the very grid, so that both would be the same sample."""
    REPEATED = "repeated"
    """Of a row of a file of places: an earlier row has the same id and grid."""
    LITTLE_COVERED = "little_covered"
    """Of a square of an area in a file of places: the area covers less of it than the recipe wants."""
    TAKEN_OUT = "taken_out"
    """Of a location that is packed: `[exclude]` of the recipe names it, with a reason in words."""
    OUTSIDE_SHARE = "outside_share"
    """Of a location that is packed: a share of it, of `[pack.shares]`, is less or more than the recipe wants."""
    NO_LABELS = "no_labels"
    """Of a location that is packed: it would be of val or test, and lacks the labels that `[split] unlabelled` names."""
    DUPLICATE = "duplicate"
    """Of a sample that `curate prune` leaves out: a copy of one that stays, of which kind (`duplicate:shifted`)."""
    MISLABELLED = "mislabelled"
    """Of a sample that `curate prune` leaves out: a probe that has not seen its place believes its label to be wrong."""
    UNINFORMATIVE = "uninformative"
    """Of a sample that `curate prune` leaves out: its arrays pack into far less than those of others."""
    CROWDED = "crowded"
    """Of a sample that `curate prune` leaves out: there are more like it than have room (`--keep`)."""
    ANNOTATION_FAILED = "annotation_failed"
    """Of a sample that is packed: a function of `[annotations]` raised, or gave what it should not; its shard is none."""
    NO_CAPTION = "no_caption"
    """Of a sample in a view of images and texts: its annotation has no text."""
    NO_IMAGE = "no_image"
    """Of a sample in a view of images and texts: it lacks an array that the image is made of, in the view's season."""
    FEW_VALID = "few_valid"
    """Of a sample in a view of images and texts: less of its image has data than the view wants."""
    OUTSIDE_STORE = "outside_store"
    """Of a sample that is packed: in no cell of the Zarr store that an annotation is read from; NaN stands for it."""
    NO_VALUE = "no_value"
    """Of a sample that is packed: a Zarr store has no value in its cell, NaN; a table no row within it, none."""
    FEW_PLACES = "few_places"
    """A measure was asked of fewer places than it can say anything of, alone or for its dimension."""
    CODE_UNASKED = "code_unasked"
    """Of a recipe that is packed: it names Python code, and nobody said that it may be executed."""

    UNMASKED_MAP = "unmasked_map"
    """A class map in which a missing pixel cannot be told from a class: it declares no nodata and no mask, or a class as
    nodata."""
    UNKNOWN_LOCATION = "unknown_location"
    """Of a row of imported labels: it is of no location that was asked for."""
    OUTSIDE_SEASONS = "outside_seasons"
    """Of a row of imported labels: its image was taken in no season."""
    OTHER_IMAGE = "other_image"
    """Of a row of imported labels: no sample is made of its image."""
    AMBIGUOUS_LABELS = "ambiguous_labels"
    """Of a row of imported labels: another row of the same patch says otherwise; the patch's labels are unknown."""

    NO_CHIP = "no_chip"
    """A foreign dataset has no file of the source for the sample."""
    CHIP_FOOTPRINT = "chip_footprint"
    """Pixels of a chip times their size, by its own transform, are another footprint than the recipe states."""
    CHIP_SHAPE = "chip_shape"
    """A chip has other bands, or another number of pixels, than the recipe states."""
    CHIP_PLACE = "chip_place"
    """A corner of a chip lies, by its own transform, elsewhere than that of its sample."""
    CHIP_CRS = "chip_crs"
    """A chip states a transform in no CRS, or in one whose unit is no metre."""
    CHIP_DTYPE = "chip_dtype"
    """A chip holds numbers that the array's dtype does not hold exactly."""
    UNIT_RANGE = "unit_range"
    """A chip holds values that nothing in its unit can have."""
    UNDECLARED_NODATA = "undeclared_nodata"
    """A chip holds, or its file declares, a 'no data' that the recipe does not name."""
    ODD_SPREAD = "odd_spread"
    """A band's standard deviation is larger than what lies between its percentiles 1 and 99: nodata is in the statistics."""
    BAND_ORDER = "band_order"
    """Of a foreign dataset's backscatter the cross-polarised band is brighter than the other: they may be swapped."""


CODE_HELP: dict[Code, str] = {
    Code.NO_SCENE: "no scene touches the patch in the season",
    Code.NO_DATE: "the season lies around a date of the location, and the file of places has none for it",
    Code.PARTIAL_COVERAGE: "scenes touch the patch, none covers it wholly",
    Code.WRONG_SIDE: "scenes cover the patch in the season, none on the side of its anchor that the pick wants",
    Code.TOO_FEW: "fewer scenes are good enough than the pick counts to",
    Code.CLOUDY: "no covering scene is clear enough on the patch",
    Code.DOUBTFUL: "the mask is unsure of too much of the patch (unclassified)",
    Code.SNOWY: "the mask calls more of the patch snow than the recipe allows",
    Code.NODATA: "no covering scene has enough valid pixels on the patch",
    Code.FEW_OF_CLASS: "a class map has less of a class on the patch than the recipe wants (min_share)",
    Code.HOLE: "no scene of the mosaic where there is no open sea: a tile that the catalog lacks, a lake, a coast",
    Code.TIME_GAP: "the nearest scene is too far in time from the one it goes with",
    Code.EXHAUSTED: "max_candidates masks were read, none passed, and scenes are left that were not looked at",
    Code.EXCLUDED: "each scene that might be used is excluded by the recipe",
    Code.NO_ORBIT: "no scene in the orbit direction, or of the relative orbit, asked for or fixed for the location",
    Code.ORBIT_UNSTATED: "no scene says where its orbit is from, and the recipe wants precise ones (POEORB)",
    Code.ORBIT_IMPRECISE: "no scene was made with a precise orbit (POEORB), which the recipe wants",
    Code.NO_MATCH: "no scene of the same acquisition",
    Code.OFFSET_CONFLICT: "metadata and pixels disagree on the +1000 offset",
    Code.OFFSET_UNPROVEN: "the catalog's word on the +1000 offset is not to be believed, and pixels do not bear it out",
    Code.IMPOSSIBLE: "too many pixels (of reflectance clear ones) are brighter than anything can be",
    Code.RELIEF: "relief displaces pixels by more than half a pixel (or than can be corrected): ask for relief = 'correct'",
    Code.RELIEF_UNKNOWN: "heights are missing on the patch, so that nobody knows how far relief displaces it",
    Code.OLD_ANNOTATION: "a radar scene of a processor before 002.90: its noise is stated otherwise",
    Code.SHIFTED: "a source lies beside the one it goes with by more pixels than the recipe allows",
    Code.UNREADABLE: "a file of a source that is not required is gone or damaged, and none stands in for it",
    Code.UNREADABLE_ITEM: "no scene will do, but an item of the catalog that could not be read may be one that would",
    Code.LOCAL_HREF: "an href leads to a file of this machine and was not opened: [search] local names where such may lie",
    Code.UNTRUSTED: "a server's certificate is not trusted: name its CA's file in REQUESTS_CA_BUNDLE",
    Code.NO_ACCESS: "what lets one in where files lie is not set, or is refused: see what `curate catalogs` prints",
    Code.NO_GEOID: "the geoid that heights are told from is not on the machine that reads: `pyproj sync --file GRID`",
    Code.NO_TILE: "a scene's id tells no tile, or nothing a time, so that its image was not asked for elsewhere",
    Code.BAD_SHAPES: "a vector file cannot be read: damaged, in parts, not UTF-8, or without the layer that is asked for",
    Code.NO_CRS: "a vector file states no CRS",
    Code.NO_COLUMN: "a vector file, or the file of places, has not the column that a source asks shapes by",
    Code.NO_SHAPES: "a layer of a vector file is empty: say `may_be_empty = true` where that is right",
    Code.UNKNOWN_VALUE: "a column of a vector file holds a value that its source says no class of",
    Code.UPSTREAM: "not looked at: the source it goes with was rejected",
    Code.OUTSIDE_REGIONS: "a given place whose centre lies in none of the regions",
    Code.SAME_GRID: "a given place on the very grid of an earlier one: both would be the same sample",
    Code.REPEATED: "a row of given places with the id and grid of an earlier one",
    Code.LITTLE_COVERED: "a square of which the area of its row covers less than the recipe wants",
    Code.TAKEN_OUT: "a location that the recipe excludes by its id, for a reason of its own",
    Code.OUTSIDE_SHARE: "a share of classes of the location, of [pack.shares], is less or more than the recipe wants",
    Code.NO_LABELS: "a location of val or test without the labels that [split] unlabelled names",
    Code.DUPLICATE: "a copy of a sample that stays, alike on the ground and as numbers (`curate prune`)",
    Code.MISLABELLED: "a probe that has not seen the place believes the label to be wrong (`curate prune`)",
    Code.UNINFORMATIVE: "its arrays pack into far less than those of others (`curate prune`)",
    Code.CROWDED: "there are more samples like it than have room (`curate prune --keep`)",
    Code.ANNOTATION_FAILED: "an annotation could not be made of a sample; its shard is not written",
    Code.NO_CAPTION: "a sample without a text, of a view of images and texts",
    Code.NO_IMAGE: "a sample that lacks what the image is made of, of a view of images and texts",
    Code.FEW_VALID: "a sample of whose image too little has data, of a view of images and texts (--least-valid)",
    Code.OUTSIDE_STORE: "in no cell of the Zarr store that an annotation is read from: NaN",
    Code.NO_VALUE: "what an annotation is read from has no value in the sample's cell (NaN), or no row within it (none)",
    Code.FEW_PLACES: "a measure was asked of fewer places than it can say anything of, alone or for its dimension",
    Code.CODE_UNASKED: "the recipe names Python code or a model, and nobody said that it may be executed",
    Code.UNMASKED_MAP: "a class map whose missing pixels cannot be told from a class: declare its nodata, 255",
    Code.UNKNOWN_LOCATION: "a row of imported labels of no location that was asked for",
    Code.OUTSIDE_SEASONS: "a row of imported labels whose image was taken in no season",
    Code.OTHER_IMAGE: "a row of imported labels of whose image no sample is made",
    Code.AMBIGUOUS_LABELS: "rows of imported labels that contradict one another: the patch's labels are unknown",
    Code.NO_CHIP: "a foreign dataset has no file of the source for the sample",
    Code.CHIP_FOOTPRINT: "pixels times their size, by the chip's transform, are another footprint: say mend pixel_m",
    Code.CHIP_SHAPE: "a chip has other bands, or another number of pixels, than the recipe states",
    Code.CHIP_PLACE: "by its transform a chip lies beside its sample: say mend within_m, or georeference = 'ignore'",
    Code.CHIP_CRS: "a chip's transform is in no CRS, or not in metres: say mend georeference = 'ignore'",
    Code.CHIP_DTYPE: "a chip holds numbers that the array's dtype does not hold exactly",
    Code.UNIT_RANGE: "a chip holds values that nothing in its unit can have: say mend bits, or mend unit or range",
    Code.UNDECLARED_NODATA: "a chip holds, or declares, a 'no data' that the recipe does not name: say file_nodata",
    Code.ODD_SPREAD: "a band's standard deviation is larger than p1 to p99: nodata is inside; or say mend spread = 'wide'",
    Code.BAND_ORDER: "VH is brighter than VV: bands are swapped; or say mend order = 'stated'",
}
"""One line for a person on each code, for reports."""


VALUE_HELP: dict[Code, str] = {
    Code.PARTIAL_COVERAGE: "covered fraction {:.3g}",
    Code.TOO_FEW: "good enough: {:.0f}",
    Code.CLOUDY: "clear fraction {:.3g}",
    Code.DOUBTFUL: "doubtful fraction {:.3g}",
    Code.SNOWY: "snow fraction {:.3g}",
    Code.NODATA: "valid fraction {:.3g}",
    Code.FEW_OF_CLASS: "share of the class {:.3g}",
    Code.FEW_VALID: "valid fraction {:.3g}",
    Code.HOLE: "valid fraction {:.3g}",
    Code.TIME_GAP: "{:.3g} days",
    Code.EXHAUSTED: "scenes left: {:.0f}",
    Code.OFFSET_CONFLICT: "offset by its metadata: {:g}",
    Code.OFFSET_UNPROVEN: "offset by its metadata: {:g}",
    Code.IMPOSSIBLE: "share of pixels: {:.3g}",
    Code.RELIEF: "displaced by {:.3g} pixels",
    Code.SHIFTED: "{:.3g} pixels of the array measured",
    Code.CHIP_FOOTPRINT: "{:.6g} m by its transform",
    Code.CHIP_SHAPE: "{:.0f} of them",
    Code.CHIP_PLACE: "{:.6g} m beside",
    Code.CHIP_DTYPE: "such as {:.9g}",
    Code.UNIT_RANGE: "such as {:.9g}",
    Code.UNDECLARED_NODATA: "{:.9g}",
}
"""What the value is that decided: `cloudy` has the clear fraction, not the cloudy one."""
