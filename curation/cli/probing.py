"""The verb that probes features for labels, and its flags."""

from __future__ import annotations

import argparse
from typing import Any

from curation.cli.standing import positive
from curation.cli.verbs import do_probe

DESCRIPTION = """\
Tells what frozen features know of a packed dataset's labels: probes fitted on some places, scored on others.

encoders:   file.py:function (its pixels in, vectors out; --run-code executes it) or a .parquet table of key, season, vector
beside them, always:
            handmade and convolutions (random weights): what costs nothing
            metadata: longitude, latitude and season alone; and each encoder probed with the labels of other places
folds:      whole blocks of the sphere; no place is fitted on and scored, seasons and children of one go together, and no
            footprint of what is fitted lies within the split's buffer of one that is scored
scores:     mAP over classes that can be told, F1, ECE beside what a perfect probe would have; accuracy of one class; R2 of
            numbers. Intervals (95 %) are of places drawn again; differences are of pairs on the same places

How strongly a linear probe is held back is chosen by places that it is not scored on. The same seed gives the same numbers.

examples:
  curate probe --dataset ssl4eo-s12-ml
      what hand-made features and random convolutions know: what an encoder has to beat
  curate probe mine.py:encode --run-code --labels seasonal --by climate_zone,continent --out probe.json
  curate probe vectors.parquet --sides train,val --season summer
"""


def add_probe(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """What says how good features are."""
    probe = verbs.add_parser(
        "probe",
        parents=[common],
        help="say what frozen features know of the labels, beside what costs nothing",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = probe.add_argument
    add("encoders", nargs="*", metavar="ENCODER", help="file.py:function, or a .parquet table of vectors")
    add(
        "--labels",
        default="auto",
        metavar="L",
        help="labels (of the season, else annual), seasonal, annual, fractions, target, or a column of samples "
        "(default: the target where there is one, else labels)",
    )
    add("--probe", type=_listed, default=["linear", "knn"], metavar="P,P", help="linear, knn (default: both)")
    add("--folds", type=positive, default=5, metavar="K", help="folds of blocks (default: %(default)s)")
    add("--sides", type=_sides, metavar="FIT,SCORED", help="instead of folds: sides of the split, such as train,val")
    add(
        "--block-deg",
        type=float,
        metavar="D",
        help="side of a block, degrees (default: what makes 20)",
    )
    add("--season", type=_listed, metavar="S,S", help="only these (default: all)")
    add("--by", type=_listed, metavar="D,D", help="domains whose worst group is told (default: climate_zone,continent)")
    add(
        "--arrays",
        type=_listed,
        metavar="A,A",
        help="arrays that features are made of (default: all data with seasons)",
    )
    add("--places", type=positive, metavar="N", help="at most so many places, drawn by the seed (default: 10000)")
    add("--draws", type=positive, default=1000, metavar="N", help="of places, for intervals (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: %(default)s)")
    add("--out", metavar="FILE", help="write all of it as JSON: each class, group and distance, too")
    add("--run-code", action="store_true", help="execute the Python files that are named; without it they are refused")
    probe.set_defaults(run=do_probe)


def _listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _sides(text: str) -> tuple[str, str]:
    """Raises ArgumentTypeError where these are not two."""
    fit, _, scored = text.partition(",")
    if not (fit and scored) or "," in scored or fit == scored:
        raise argparse.ArgumentTypeError(f"{text}: expected two sides of the split, such as train,val")
    return fit, scored
