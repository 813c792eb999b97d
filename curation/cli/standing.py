"""The verbs for a dataset that stands, and their flags: what looks at it, mends it, and writes it in forms of others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curation.api import folder
from curation.cli.verbs import do_card, do_diff, do_export, do_gc, do_graph, do_import, do_publish, do_worst


def add_mended(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """How a dataset that stands is looked at and mended."""
    worst = verbs.add_parser(
        "worst",
        parents=[common],
        help="draw the worst patches by a fact, to be excluded or not",
        description="Draws the worst ok patches by any fact on one HTML page, and prints them with what excludes their "
        "places: lines to be pasted into the recipe, which the next `curate pack` goes by. Of clear_fraction, "
        "valid_fraction and shift_peak the lowest are the worst, of all other facts those furthest from zero.",
    )
    worst.add_argument(
        "--by",
        required=True,
        metavar="FACT",
        help="clear_fraction, gap_days …; s2l2a_clear_fraction where several have it",
    )
    worst.add_argument("--n", type=positive, default=200, metavar="N", help="how many (default: %(default)s)")
    worst.add_argument("--region", default="all", metavar="R", help="one that is built (default: all)")
    worst.add_argument("--season", default="all", metavar="S", help="one that is built (default: all)")
    worst.add_argument("--out", type=Path, metavar="FILE", help="default: worst-<fact>.html in the current folder")
    worst.set_defaults(run=do_worst)

    diff = verbs.add_parser(
        "diff",
        help="say what two releases differ in",
        description="Says which samples two releases have, one of them, or both with something else in them, and what: "
        "the split, arrays by the hashes of their members, labels, columns. Reads indices and tables alone. Of a dataset's "
        "folder alone: the release before the one that stands, and that. Exit code 0: the same; 1: they differ.",
    )
    diff.add_argument("a", metavar="A", help="a folder of shards, a dataset's folder, or a root; a bucket's URL, too")
    diff.add_argument(
        "b", metavar="B", nargs="?", help="the same; where left out it is A, after the last `curate pack`"
    )
    diff.add_argument(
        "--dataset", default="", metavar="NAME", help="the dataset's folder below A and B, which are roots"
    )
    diff.add_argument("--json", action="store_true", help="print all of it as JSON")
    diff.add_argument("-v", "--verbose", action="store_true", help=argparse.SUPPRESS)
    diff.set_defaults(run=do_diff)

    gc = verbs.add_parser(
        "gc",
        parents=[common],
        help="say what nothing refers to, and delete it where asked to",
        description="Lists what nothing in the dataset's folder refers to: what killed commands left half written, shards "
        "and receipts that the index does not name, features of earlier releases, saved searches of sources and seasons "
        "that the recipe has not, and cubes of regions and seasons that it does not name. Deletes nothing unless --delete "
        "is said.",
    )
    gc.add_argument("--dry-run", action="store_true", help="delete nothing, which is so without --delete, too")
    gc.add_argument(
        "--delete", action="store_true", help="delete it, but no cubes; nothing else may be at work in the folder then"
    )
    gc.add_argument("--cubes", action="store_true", help="with --delete: cubes and their ledgers, too")
    gc.set_defaults(run=do_gc)


def add_export(verbs: argparse._SubParsersAction[Any], parents: list[Any]) -> None:
    """What writes a dataset in forms that others read."""
    export = verbs.add_parser(
        "export",
        parents=parents,
        help="write patches as GeoTIFFs, netCDF or npz, a STAC collection, or Parquet",
        description="Writes the patches of cubes that are ok, or the samples of shards, in a form that others read, each "
        "chunk checked first. export.json comes last. Safe to stop and to run again: no file that is there is made again.",
    )
    export.add_argument(
        "--format",
        dest="form",
        required=True,
        metavar="F",
        help="geotiff, cog, netcdf, npz: a file per patch and array, <region>/<season>/<id>-<season>-<array>.<suffix>; "
        "stac: a collection of items over cubes and shards, no pixel copied; parquet: samples of shards, with a card, as "
        "`datasets` of Hugging Face opens them; litdata: samples of shards, as `litdata.StreamingDataset` streams them; "
        "kuro-siwo: samples of floods, laid out and called as Kuro Siwo's are",
    )
    export.add_argument(
        "--to", required=True, metavar="PATH|URL", help="a new or an empty folder, or that of the same export"
    )
    export.add_argument(
        "--region", default="all", metavar="R", help="of those that are built (several: a+b); all: each (default)"
    )
    export.add_argument(
        "--season",
        default="all",
        metavar="S",
        help="of those that are built (several with commas), static, or all (default)",
    )
    export.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only what it holds of, given again and again: NAME = VALUE, or !=, <, <=, >, >=, or NAME in FILE (a value a "
        "line) or in A,B. Of patches on id, lon, lat, epsg, region, season, split and the cube's coordinates "
        "('s2l2a_clear_fraction >= 0.95'); of parquet and litdata on split and columns of the samples table",
    )
    export.add_argument(
        "--limit", type=positive, metavar="N", help="only the first N patches of each cube, or samples of each split"
    )
    export.add_argument("--dry-run", action="store_true", help="count files and bytes; write nothing")
    export.set_defaults(run=do_export)


def add_published(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser, work: Any) -> None:
    """What says of a release what others must know, and lays it out for them."""
    card = verbs.add_parser(
        "card",
        parents=[common],
        help="write the cards of a release anew: README, Croissant, STAC, DataCite",
        description="Writes the cards of the release that stands below <root>/<dataset>/card: README.md for a hub's page, "
        "croissant.json (Croissant 1.1, GeoCroissant 1.0), a STAC collection with an item per shard, datacite.json, and "
        "what the report draws. All of it follows from index, tables and recipe; [card] of the recipe adds what a publisher "
        "says. `curate pack` writes them, too, without pictures; `curate verify` tells where they are of another release.",
    )
    card.add_argument("--no-pictures", action="store_true", help="draw none, which wants the cubes; those there stay")
    card.set_defaults(run=do_card)

    publish = verbs.add_parser(
        "publish",
        parents=[common, work],
        help="lay a release out as a hub wants it, and check it; nothing is uploaded",
        description="Writes shards byte for byte (data/), index, tables, cards and SHA256SUMS into a folder or bucket, as "
        "Hugging Face and other hubs take them, and checks that all is there. Safe to stop and to run again: a shard that "
        "is there is hashed, not written again. Nothing is uploaded by itself.",
    )
    publish.add_argument(
        "--to",
        required=True,
        metavar="PATH|URL",
        help="a new or an empty folder or bucket, or that of the same dataset",
    )
    publish.add_argument("--dry-run", action="store_true", help="count files and bytes; write nothing")
    publish.set_defaults(run=do_publish)


def add_graph(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """What makes a graph of a dataset."""
    graph = verbs.add_parser(
        "graph",
        parents=[common],
        help="make the graph of what is packed: places, patches, cells, scenes, and what joins them",
        description=GRAPH,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    graph.add_argument("--to", metavar="PATH|URL", help="default: <root>/<dataset>/graph")
    graph.add_argument("--edges", default="all", metavar="E", help="which, with commas (default: all)")
    graph.add_argument(
        "--k", type=positive, default=8, metavar="N", help="near: the N nearest places of each (default: %(default)s)"
    )
    graph.add_argument(
        "--radius-km", type=float, default=500.0, metavar="KM", help="near: no further than this (default: %(default)g)"
    )
    graph.add_argument(
        "--like",
        default="labels",
        metavar="W",
        help="like: by label fractions (labels, the default), by an annotation's vectors (its name), or none",
    )
    graph.add_argument(
        "--like-k", type=positive, default=5, metavar="N", help="like: the N most alike of each (default: %(default)s)"
    )
    graph.add_argument(
        "--mesh",
        type=int,
        metavar="N",
        help="also vertices of an icosphere of order N as nodes (10 * 4^N + 2 of them; 6: 110 km apart; default: none)",
    )
    graph.add_argument(
        "--cells",
        default="era5",
        metavar="C",
        help="era5 (the default), healpix:N (order) or h3:N (resolution); several levels with commas: healpix:3,6",
    )
    graph.add_argument(
        "--variables",
        default="",
        metavar="V",
        help="series of these, by cell, are nodes, too: sources and annotations of numbers, with commas (s5p-no2,era5/t2m)",
    )
    graph.add_argument("--dry-run", action="store_true", help="count nodes and edges; write nothing")
    graph.set_defaults(run=do_graph)


GRAPH = """\
Makes the graph of the packed dataset: an Arrow table per type of nodes and edges, and graph.json, which is published last.

nodes:  place, patch (a place in a season), cell (ERA5's of 0.25 degrees, or --cells), scene, variable (with --variables)
edges:  near      places to the nearest, on the sphere: distance in metres, bearing as the receiver sees it
        next      a patch to that of the next season: days
        of        a patch to its place, a series to its cell
        in, has   a place to the cells that its footprint lies in, and back: share of it; so a cell to the coarser one,
                  and a cell to its series
        adjacent  cells that share an edge: its length
        like      patches alike in labels (or places in vectors), each among the nearest of the other, none of them near
        seen_by   a patch to the scenes that it was made of
        on, joins with --mesh: a place to the corners of the face that it lies in, and the edges of icospheres of all orders

Edges from one split to another are flagged, and left out by to_pyg() unless they are asked for; so are edges that derive
from what is to be predicted. In Python: curation.graph.open("<root>/<dataset>/graph"), then .to_pyg(target=...),
.to_networkx(), .to_geoparquet(folder) for QGIS, .blocks() for graphs that are too large for one step. The same shards and
flags give the same bytes; what is there already is not made again. to_networkx() wants
pip install 'curation[graph]', to_pyg() 'curation[pyg]'.

examples:
  curate graph --dataset ssl4eo-s --dry-run
  curate graph --dataset ssl4eo-s --variables s5p-no2,s5p-co --cells healpix:3,6
  curate graph --dataset ssl4eo-s12-ml --k 6 --radius-km 200 --edges near,next,like
"""


def add_import(verbs: argparse._SubParsersAction[Any], work: argparse.ArgumentParser) -> None:
    """What makes a dataset of one that others made."""
    take = verbs.add_parser(
        "import",
        parents=[work],
        help="make a dataset of chips that others made",
        description="Reads a foreign dataset of chips (GeoTIFF, npy, zarr.zip, HDF5, PNG and JPEG; in a folder, in tars, in "
        "Tortilla files, in rows of Parquet), holds each against what the recipe states of it, and makes cubes, a ledger "
        "and shards of it, as of any other: `--dataset RECIPE` of the other verbs is the same recipe. What contradicts it "
        "is refused with a reason, or mended where the recipe says so; a file that cannot be read stands in the ledger "
        "with its cause. Safe to stop and to run again. manifests/README.md has the recipe's keys. Exit code 1 where "
        "samples failed, or a dry run finds what would be refused.",
    )
    take.add_argument("source", metavar="FROM", help="folder of chips, or a tar, Tortilla, Parquet or HDF5 file")
    take.add_argument("--as", dest="recipe", required=True, metavar="RECIPE", help="path of a recipe for import")
    take.add_argument(
        "--root", default=folder.ROOT, metavar="PATH|URL", help="where everything is written (default: ./%(default)s)"
    )
    take.add_argument(
        "--dry-run", action="store_true", help="find all samples, read a few, say what is refused; write nothing"
    )
    take.add_argument("-v", "--verbose", action="store_true", help="also a line per patch")
    take.set_defaults(run=do_import)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 on")
    return value
