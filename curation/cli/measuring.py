"""The verbs that measure what a packed dataset is worth, and their flags."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curation.cli.standing import positive
from curation.cli.verbs import do_distance, do_embed


def add(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser, work: argparse.ArgumentParser) -> None:
    """What makes features of samples, and compares them."""
    embed = verbs.add_parser(
        "embed",
        parents=[common, work],
        help="make features of what is packed: a vector per sample and season",
        description="Makes features of the samples of shards, and keeps them as one Parquet file below embeddings/ of the "
        "dataset's folder, with the digest of the release and of the way: what is there already is not made again. Patches "
        "that are mostly missing have no row, and are counted.",
    )
    add_ways(embed)
    embed.add_argument(
        "--to", type=Path, metavar="FILE", help="also write the table there (.parquet), for [annotations] of a recipe"
    )
    embed.set_defaults(run=do_embed)
    distance = verbs.add_parser(
        "distance",
        parents=[work],
        help="say how far parts of packed datasets lie apart, with intervals, floors and tests",
        description=DISTANCE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    distance.add_argument("sides", nargs="+", metavar="SIDE", help="DATASET[:split=S,season=S,region=R,COLUMN=V]")
    distance.add_argument("--by", metavar="D", help="compare domains: split, season, region, continent, any column")
    add_ways(distance)
    distance.add_argument(
        "--measures",
        metavar="M",
        help="with commas: auc, mmd, kid, energy, frechet, sliced, coverage, bands, labels (default: all)",
    )
    distance.add_argument(
        "--dims", type=positive, metavar="K", help="compare K principal components (default: all numbers)"
    )
    distance.add_argument(
        "--block-deg", type=float, metavar="D", help="draw cells of D degrees together (default: each place alone)"
    )
    distance.add_argument(
        "--permutations",
        type=positive,
        default=999,
        metavar="N",
        help="at least, and more where many pairs want it; of what is dear 99 to 399 (default: %(default)s)",
    )
    distance.add_argument("--no-keep", action="store_true", help="write no features below the datasets' folders")
    distance.add_argument("--json", action="store_true", help="print all of it as JSON")
    distance.add_argument(
        "--out", type=Path, metavar="FILE", help="also write one HTML page with heat maps of all pairs"
    )
    distance.add_argument("-v", "--verbose", action="store_true", help=argparse.SUPPRESS)
    distance.set_defaults(run=do_distance)


def add_ways(verb: argparse.ArgumentParser) -> None:
    """How features are made."""
    verb.add_argument(
        "--with",
        dest="way",
        default="handmade",
        metavar="W",
        help="handmade: what each band is like, and its texture (default); convolutions: random filters; FILE.py:FUNCTION "
        "of your own, given {array: (n, band, y, x)} and giving (n, D), whose "
        "list FILES names weights; or a .parquet file with key, season and vector",
    )
    verb.add_argument("--arrays", metavar="A", help="of which, with commas (default: all data with seasons)")
    verb.add_argument("--limit", type=positive, metavar="N", help="only the first N samples of each split")
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is random (default: %(default)s)")
    verb.add_argument(
        "--run-code", action="store_true", help="execute the Python file that --with names; else it is refused"
    )


DISTANCE = """\
Compares parts of packed datasets by features of their samples (as of `curate embed`, which are made where they are not
there yet). A SIDE is a dataset's folder, <root>/<dataset>, or a URL, and which of its patches: :split=val, :season=summer,
:region=europe+asia, :continent=Africa, several with commas; without a folder it is of the dataset before it.

Each number has an interval of 95 % over places (seasons of a place are drawn together), what it comes to at this n where
nothing differs (sides permuted), p, and p corrected by Holm for all pairs, bands and labels; what too few places say
nothing of is refused with the number that it wants.

examples:
  curate distance shards/my-set:split=train :split=val
  curate distance shards/my-set --by season --out seasons.html
  curate distance shards/my-set s3://bucket/datasets/other --with convolutions --arrays s2l2a_10m --json
"""
