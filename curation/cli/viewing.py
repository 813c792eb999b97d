"""The verb that packs samples as images with texts, and its flags."""

from __future__ import annotations

import argparse
from typing import Any

from curation.api.viewed import READERS
from curation.cli import standing
from curation.cli.verbs import do_view

DESCRIPTION = """\
Packs the samples of shards a second time, as images with texts, for trainers that read nothing else:

  clip       <key>.jpg, <key>.txt, <key>.json: 8-bit RGB, as open_clip reads it
  dofa-clip  <key>.image (npy: y, x, channel), .text, .wavelength, .geoloc, .json: any number of bands, as DOFA-CLIP has it

Keys are those of the shards. sizes.json says how many samples each tar has; view.json how images were made, of which
shards (by their hashes), and which samples were dropped and why. Safe to stop and to run again. The texts are an
annotation of the recipe:

  [annotations.caption]
  function = "caption"     # or "file.py:function", your own
  type = "text"            # or "json": {"captions": [...], "sources": [...]}

examples:
  curate view clip --dry-run
      says what would be written, and between which values images would be looked at
  curate view clip --bands false-colour --image png --season summer --per-tar 64
  curate view clip --bands radar
      VV, VH and their ratio as red, green and blue
  curate view clip --limits 0:3000 --to s3://bucket/clip
      the same limits as another dataset has, and so pictures that compare
  curate view dofa-clip --bands B02,B03,B04,B05,B06,B07,B08,B11,B12
  open_clip_train --train-data '<folder>/train-{000000..000007}.tar' --dataset-type webdataset
      --train-num-samples is not wanted: sizes.json says it
"""


def add_view(verbs: argparse._SubParsersAction[Any], parents: list[Any]) -> None:
    """What writes samples as images with texts."""
    view = verbs.add_parser(
        "view",
        parents=parents,
        help="pack samples again as images with texts (open_clip, DOFA-CLIP)",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = view.add_argument
    add("name", metavar="NAME", help="clip or dofa-clip")
    add("--to", metavar="PATH|URL", help="a folder of its own (default: <root>/<dataset>/<NAME>)")
    add("--source", metavar="S", help="what images are of (default: the first with red, green and blue, else radar)")
    add(
        "--season",
        metavar="S",
        help="which of a sample's images (default: the season whose median pixel lies nearest to the middle between the "
        "percentiles, neither dark nor washed out, of those that nine tenths of the samples have; view.json says how each "
        "looks)",
    )
    add(
        "--bands",
        type=_listed,
        default=(),
        metavar="B,B,B",
        help="channels: names of bands (B04, s2.b04, red), or two with a minus between them (VV-VH); or true-colour, "
        "false-colour, radar. clip: three (default: true-colour, else radar); dofa-clip: all that it has wavelengths for",
    )
    add(
        "--limits",
        type=_listed,
        default=(),
        metavar="LOW:HIGH,…",
        help="values that become the darkest and the brightest, in units as stored (of radar in dB): once, or of "
        "each channel; one that begins with a minus as --limits=-25:0 (default: percentiles of train, which all share)",
    )
    add("--percentiles", type=_pair, default=(2.0, 98.0), metavar="P,P", help="of train (default: 2,98)")
    add("--gamma", type=float, default=1.0, metavar="G", help="above 1 lifts what is dark (default: %(default)g)")
    add(
        "--image",
        default="jpg",
        metavar="I",
        help="of clip: jpg (quality 95), or png or webp, which lose nothing (default: jpg)",
    )
    add(
        "--caption",
        metavar="A",
        help="annotation that has the texts (default: captions, else caption, else the only text)",
    )
    add(
        "--least-valid",
        type=float,
        default=0.95,
        metavar="F",
        help="share of an image's pixels that must have data: else it is dropped as few_valid (default: %(default)g)",
    )
    add("--per-tar", type=standing.positive, metavar="N", help="at most N samples in a tar (default: a tar per shard)")
    add(
        "--readers",
        type=standing.positive,
        default=READERS,
        metavar="N",
        help="workers times ranks that will read; fewer tars than that are warned of (default: %(default)d)",
    )
    add("--region", default="all", metavar="R", help="of those that are packed (several: a+b); all: each (default)")
    add(
        "--select",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only what it holds of, given again and again: on split and columns of the samples table, as of export",
    )
    add("--limit", type=standing.positive, metavar="N", help="only the first N samples of each split")
    add("--dry-run", action="store_true", help="count and measure; write nothing")
    view.set_defaults(run=do_view)


def _listed(text: str) -> tuple[str, ...]:
    """Texts between commas."""
    found = tuple(part.strip() for part in text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected texts between commas")
    return found


def _pair(text: str) -> tuple[float, float]:
    try:
        first, last = map(float, text.split(","))
    except ValueError as err:
        raise argparse.ArgumentTypeError(f"{text!r}: expected two numbers, such as 2,98") from err
    return first, last
