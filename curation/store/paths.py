"""Where things lie below a dataset's folder: every key is made here, and parsed here. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from curation.errors import ConfigError

CUBES = "cubes"
LEDGERS = "ledger"
SEARCHES = "scenes"
FILE_HEADS = "heads"
"""Where heads of scenes' files lie that were read: may be deleted at any time."""
SHARDS = "shards"
PARTS = "packing"
"""Where receipts of single shards lie, so that a pack that was stopped does not make them again."""
STAGE = f"{PARTS}/new"
"""Where new shards wait, with their receipts, while shards of an earlier packing stand: those stay readable meanwhile."""
MANIFEST = "manifest"
RELEASE = f"{MANIFEST}/release.json"
PREVIOUS = f"{MANIFEST}/previous"
"""Where index and tables lie of the release before the one that stands, named as they were among its shards."""
DROPPED = f"{MANIFEST}/dropped.parquet"
UNPLACED = f"{MANIFEST}/unplaced.json"
"""Which samples of a foreign dataset are of no place that is known, and why; there is none where all are."""
CHIPS = f"{MANIFEST}/chips.parquet"
"""In which state the files of a foreign dataset were when it was imported: id, source, state."""
FAILURES = f"{MANIFEST}/annotations-failed.json"
"""Which annotations could not be made; there is none where all were."""
LABELS = "labels"
"""Where labels lie that were imported from files."""
LABELS_RECORD = f"{LABELS}/imported.json"
"""What was imported, and which table has it: published last."""
UNMATCHED = f"{MANIFEST}/labels-unmatched.parquet"
"""Rows of imported labels that are of no patch; there is none without such an import."""
MAPS = "maps"
"""Where class maps lie that were made here, of images and places: asked of Earth Engine, or by a model."""
MODELS = "models"
"""Where models lie that say masks, for workers to read."""
REPORT = "report.html"
SPLIT_FACTS = "split.json"
"""What the report says of the split, beside it."""
EMBEDDINGS = "embeddings"
"""Where features of a dataset lie, a table for each way of making them."""
PRUNE = "prune"
"""Where it lies which samples the next packing leaves out, and what each was judged by."""
PRUNED = f"{PRUNE}/prune.json"
"""There, the record of it: published last."""
GRAPH = "graph"
"""Where the graph of a dataset lies, unless it is told to be elsewhere."""
GRAPH_INDEX = "graph.json"
"""There, what there is of it: published last."""
AUDIT = "audit"
"""Where the audit of a dataset lies, unless it is told to be elsewhere."""
AUDIT_DRAW = "draw.json"
"""There, which patches are looked at."""
EXPORT = "export.json"
"""Of a folder that a dataset is exported to: what was, published last."""
EXPORT_RECORDS = ".export"
"""There, what is known of its pieces."""
EXPORT_ASKED = f"{EXPORT_RECORDS}/asked.json"
"""There, what it is an export of."""
STAC_COLLECTION = "collection.json"
"""There, the collection of a STAC export."""
CARD = "card"
"""Where the cards of a release lie, written after it; laid out for a hub they lie beside its shards."""
CARD_RECORD = "card.json"
"""There, what the cards follow from and which files they are: published last."""
CARD_PAGE = "README.md"
CROISSANT = "croissant.json"
DATACITE = "datacite.json"
CARD_STAC = "stac"
"""There, the folder of the STAC collection."""
CARD_PICTURES = "pictures"
HUB_DATA = "data"
"""Of a folder that is laid out for a hub: where its shards lie, with index and tables."""
CHECKSUMS = "SHA256SUMS"
"""There, of every other file, as `sha256sum --check` reads it."""
VIEW = "view.json"
"""What a view of images with texts is: published last."""
VIEW_SIZES = "sizes.json"
"""There, samples of each tar, as open_clip asks for them."""
VIEW_TARS = "tars"
SPLIT = f"{MANIFEST}/split.parquet"
"""What every place of a release is of, samples or not: id and split."""


def embeddings(index_sha256: str) -> str:
    """Where embeddings of the release with that index are."""
    return f"{EMBEDDINGS}/{index_sha256[:16]}"


def embedding(name: str, mark: str, index_sha256: str) -> str:
    """The table of an embedding, by its release, its name and the digest of all that it follows from."""
    return f"{embeddings(index_sha256)}/{name}-{mark[:16]}.parquet"


def is_embedding(key: str) -> bool:
    """Whether it is such a table, or lies where these lay before releases had folders of their own."""
    return key.startswith(f"{EMBEDDINGS}/") and key.endswith(".parquet") and key.count("/") < 3


def graph_table(*names: str) -> str:
    """Where, in a graph's folder, the table of a type of nodes lies, or of edges by source, relation and target."""
    return f"{'nodes' if len(names) == 1 else 'edges'}/{'-'.join(names)}.arrow"


def audit_marks(reader: str) -> str:
    """Where, in an audit's folder, the marks of a reader lie."""
    return f"marks-{reader}.jsonl"


def audit_reader(key: str) -> str:
    """Whose marks a file of an audit's folder has; empty where it is no such."""
    found = key.removeprefix("marks-").removesuffix(".jsonl")
    return found if key == audit_marks(found) else ""


def export_record(piece: str) -> str:
    """Where, in a folder that is exported to, it is recorded what was written of a piece."""
    return f"{EXPORT_RECORDS}/{piece}.json"


def folder(region: str, level: str = "") -> str:
    """What cubes and ledgers of a region's level lie below: the region's name, of children `<region>.children`.

    It names them in logs, too. Regions have no dot in their names (`places.regions`).
    """
    return f"{region}.{level}" if level else region


def region_of(name: str) -> str:
    """The region of a folder."""
    return name.partition(".")[0]


def level_of(name: str) -> str:
    """The level of a folder: `children`, or empty."""
    return name.partition(".")[2]


def cube(name: str, season: str) -> str:
    """The Zarr store of a folder and season."""
    return f"{CUBES}/{name}/{season}.zarr"


def ledger(name: str, season: str) -> str:
    """Where the ledger's segments lie of a folder and season."""
    return f"{LEDGERS}/{name}/{season}"


def segment(prefix: str, number: int) -> str:
    """A segment of the ledger at a prefix."""
    return f"{prefix}/{number:06d}.jsonl"


def cube_of(key: str) -> tuple[str, str]:
    """(folder, season) of any key at or below a cube, or a ledger."""
    _, name, season = key.split("/")[:3]
    return name, season.removesuffix(".zarr")


def ledgers_among(keys: Iterable[str]) -> list[tuple[str, str]]:
    """(folder, season) of each ledger that has a segment among keys, in order."""
    return sorted({cube_of(key) for key in keys if key.count("/") == 3})


def again(key: str) -> str:
    """What to do to make a cube again, of which `key` is part: the end of an error."""
    name, season = cube_of(key)
    return f"to make the cube again, delete both {cube(name, season)} and {ledger(name, season)}, and build it again"


def metadata(prefix: str, array: str = "") -> str:
    """Zarr's metadata of the cube at a prefix, or of one of its arrays."""
    return within(prefix, f"{array}/zarr.json" if array else "zarr.json")


def within(prefix: str, key: str) -> str:
    """What Zarr calls `key` within the cube at a prefix."""
    return f"{prefix}/{key}"


def chunks(prefix: str, array: str) -> str:
    """What all chunks of an array lie below, of the cube at a prefix."""
    return f"{prefix}/{array}/c"


def chunk(prefix: str, array: str, slab: int, axes: int) -> str:
    """The object of a slab of an array of so many axes, of the cube at a prefix."""
    return f"{chunks(prefix, array)}/{'/'.join([str(slab), *['0'] * (axes - 1)])}"


def slab_of(prefix: str, key: str) -> tuple[str, int] | None:
    """Array and number of the slab that an object of the cube at a prefix is of; None where it is of none."""
    array, _, rest = key.removeprefix(f"{prefix}/").partition("/c/")
    number = rest.partition("/")[0]
    return (array, int(number)) if number.isdecimal() else None


def searches(catalog: str) -> str:
    """Where the saved searches of a catalog lie, by its slug."""
    return f"{SEARCHES}/{catalog}"


def search(catalog: str, source: str, window: str, cell: str) -> str:
    """A saved search, by the name of its window (`model.Window`)."""
    return f"{searches(catalog)}/{source}/{window}/{cell}.json.gz"


def heads(digest: str) -> str:
    """The heads of the files of a folder, by the digest of what that is called."""
    return f"{FILE_HEADS}/{digest[:2]}/{digest[2:32]}.z"


def search_of(key: str) -> tuple[str, str, str] | None:
    """What the searches of a source and window lie below, the source, and the season of the window; None of other keys."""
    parts = key.split("/")
    if len(parts) != 5 or parts[0] != SEARCHES or not parts[4].endswith(".json.gz"):
        return None
    return "/".join(parts[:4]), parts[2], parts[3].partition(".")[0]


def labels_table(sha256: str) -> str:
    """The table of imported labels whose bytes have this digest."""
    return f"{LABELS}/{sha256[:16]}.parquet"


def class_maps(way: str, location: str) -> str:
    """What the maps of a location lie below that were made in one way."""
    return f"{MAPS}/{way}/{location}"


def class_map(way: str, location: str, image: str) -> str:
    """The map of an image at a location."""
    return f"{class_maps(way, location)}/{image}.tif"


def way_of(key: str) -> str:
    """The way that a map was made in."""
    return key.split("/")[1]


def maps_records(way: str) -> str:
    """Where it is recorded what became of the maps that were made in one way."""
    return f"{MAPS}/{way}.records"


def maps_record(way: str, name: str, season: str, slab: int) -> str:
    """What became of the maps of a slab of a folder and season."""
    return f"{maps_records(way)}/{name}/{season}/{slab:06d}.json"


def maps_model(way: str) -> str:
    """The model that made maps, for workers to read."""
    return f"{MAPS}/{way}.model"


def is_maps_model(key: str) -> bool:
    """Whether a key is such a model's."""
    return key.startswith(f"{MAPS}/") and key.endswith(".model") and key.count("/") == 1


def model(sha256: str) -> str:
    """A model that says masks."""
    return f"{MODELS}/{sha256}"


def is_maps_record(key: str) -> bool:
    """Whether a key below `MAPS` is that of a record."""
    return key.endswith(".json")


def locations(region: str | None) -> str:
    """The draw: of a region alone, or of all."""
    return f"{MANIFEST}/locations{'' if region is None else f'-{region}'}.parquet"


def tar(dataset: str, split: str, number: int) -> str:
    """Name of a shard, as the index has it: its path below the folder of shards."""
    return f"{split}/{dataset}-{split}-{number:06d}.tar"


def is_tar(name: str) -> bool:
    """Whether a name, or a key, is that of a shard."""
    return name.endswith(".tar")


def tables(split: str) -> tuple[str, str]:
    """Names of the tables of members and of samples of a split."""
    return f"{split}/members.arrow", f"{split}/samples.parquet"


def is_table(name: str) -> bool:
    """Whether a name is that of a table of a split."""
    return name.endswith(("/members.arrow", "/samples.parquet"))


def is_probe(key: str) -> bool:
    """Whether a key is that of an object by which workers were asked whether they see what this machine writes."""
    return key.startswith("workers-") and "/" not in key


def shard(name: str, *, waiting: bool = False) -> str:
    """What is called so in the folder of shards: the index, a table, or a shard, which may still wait for its place."""
    return f"{STAGE if waiting else SHARDS}/{name}"


def is_waiting(key: str) -> bool:
    """Whether a shard waits there for its place."""
    return key.startswith(f"{STAGE}/")


def part(split: str, number: int, *, waiting: bool = False) -> str:
    """The receipt of a shard; of one that waits, beside it."""
    return f"{STAGE if waiting else PARTS}/{split}-{number:06d}.json"


def patch_of(text: str) -> tuple[str, str, str]:
    """Folder, season and location id of `REGION/SEASON/ID`, as ledgers and logs name a patch.

    Raises:
        ConfigError: it is something else.
    """
    parts = text.split("/")
    if len(parts) != 3 or not all(parts):
        raise ConfigError(f"patch {text!r}: expected REGION/SEASON/ID, such as europe/summer/utm32n-501360-5629020")
    return parts[0], parts[1], parts[2]


def view_tars(piece: str) -> str:
    """What the tars of a piece of a view are, below its folder."""
    return f"{VIEW_TARS}/{piece}.json"


def is_view_tars(key: str) -> bool:
    """Whether a file of a view says what tars are."""
    return key.startswith(f"{VIEW_TARS}/")


def rewritten_captions(annotation: str) -> str:
    """The file of captions that a program has rewritten, beside the recipe."""
    return f"{annotation}-rewritten.jsonl"


def card_stac(name: str) -> str:
    """A file of the STAC collection, below the folder of the cards."""
    return f"{CARD_STAC}/{name}"


def card_picture(name: str) -> str:
    """A picture, below the folder of the cards."""
    return f"{CARD_PICTURES}/{name}"


def pruned_table(sha256: str) -> str:
    """The table of samples that were judged, below its folder: by its content, so that a record is never of another."""
    return f"samples-{sha256[:16]}.parquet"


def of_pruned(name: str) -> str:
    """That table, which a record names, below the dataset's folder."""
    return f"{PRUNE}/{name}"


def is_pruned_table(key: str) -> bool:
    """Whether a file of that folder is such a table, of whatever decisions."""
    return key.startswith("samples-") and key.endswith(".parquet")


def is_card_picture(key: str) -> bool:
    """Whether a file of the cards is a picture."""
    return key.startswith(f"{CARD_PICTURES}/")


def hub_data(name: str) -> str:
    """A file of the shards' folder, below one that is laid out for a hub."""
    return f"{HUB_DATA}/{name}"


def is_of_release(key: str) -> bool:
    """Whether what lies at a key of a folder that is laid out for a hub is a release's, and not the publisher's own."""
    return key.startswith((f"{HUB_DATA}/", f"{CARD_STAC}/", f"{CARD_PICTURES}/"))


def card(name: str) -> str:
    """A file of the cards of a release, below the dataset's folder."""
    return f"{CARD}/{name}"
