"""The verb that decides what of a release may be left out, and its flags."""

from __future__ import annotations

import argparse
from typing import Any

from curation.cli.standing import positive
from curation.cli.verbs import do_prune

PRUNE = """\
Decides which samples of the release that stands the next `curate pack` leaves out, each with a reason, and keeps the score
of every sample: prune/ of the dataset's folder, bound to that release. Nothing of the release itself is changed, and no
scene is read again. Samples of val and test stay, whatever they are; a copy of one in train goes.

rules (--rules, in this order):
  duplicates   copies: exact, shifted, overlapping, of another date; one of each stays. They share --same-overlap of the
               ground, of the same scenes; or --least-overlap of it, and are nearer, as numbers, than --alike of how far the
               median sample is from the most alike one elsewhere.
  mislabelled  confident learning: labels that a linear probe believes to be wrong, which has seen no sample of the same
               block of --block-deg. Rare classes go first: the share that each class and domain loses is always printed,
               and --most-of-class limits it.
  information  what packs into less than --least-information of what the median sample does: nothing is in it.
  balance      no more than --keep of all samples, as many of each cluster (density), label or domain as there are.

In what is packed then, `dropped` has the reasons, and `curate verify` proves that just these are left out. --undo, and
`curate pack`, bring all back. The same release, flags and versions give the same decisions.

examples:
  curate prune --dataset ssl4eo-s12-ml --dry-run
  curate prune --dataset ssl4eo-s12-ml --rules duplicates,mislabelled --most-of-class 0.05 && curate pack
  curate prune --dataset ssl4eo-s12-ml --rules duplicates,balance --keep 0.5 --balance density,climate
"""


def add(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """What may be left out."""
    prune = verbs.add_parser(
        "prune",
        parents=[common],
        help="decide what the next packing leaves out: copies, wrong labels, what tells little, what there is too much of",
        description=PRUNE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prune.add_argument(
        "--rules",
        default="duplicates,mislabelled,information",
        metavar="R",
        help="which, with commas (default: %(default)s)",
    )
    prune.add_argument(
        "--splits", metavar="S", help="whose samples may go, with commas (default: those that models learn from)"
    )
    prune.add_argument(
        "--with", dest="way", default="handmade", metavar="W", help="as of curate embed (default: %(default)s)"
    )
    prune.add_argument("--run-code", action="store_true", help="execute the Python file that --with names")
    _share(prune, "--alike", 1.0, "copies: as near as this share of how far others are from those like them")
    _share(prune, "--same-overlap", 0.5, "copies of the same scenes: least share of the ground in common")
    _share(prune, "--least-overlap", 0.2, "copies: least share of the ground in common")
    _share(prune, "--sure-by", 0.5, "mislabelled: by how much likelier another class has to be")
    _share(prune, "--most-of-class", 0.1, "mislabelled: most that a class may lose by it; 1: any")
    prune.add_argument(
        "--block-deg",
        type=float,
        metavar="DEG",
        help="mislabelled: side of blocks (default: 0.5, or as much less as 20 blocks want)",
    )
    _share(prune, "--least-information", 0.25, "information: least share of what the median sample packs into")
    _share(prune, "--keep", None, "balance: share of samples that stays, by all rules together")
    prune.add_argument(
        "--balance",
        default="density",
        metavar="B",
        help="balance: by density, label, region, or domains of the recipe, with commas (default: %(default)s)",
    )
    prune.add_argument(
        "--clusters", type=positive, metavar="N", help="balance: of density (default: the root of how many samples)"
    )
    prune.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: %(default)s)")
    prune.add_argument("--dry-run", action="store_true", help="print who would be left out; write nothing but features")
    prune.add_argument("--undo", action="store_true", help="forget what was decided")
    prune.set_defaults(run=do_prune)


def _share(verb: argparse.ArgumentParser, flag: str, usual: float | None, text: str) -> None:
    about = "none" if usual is None else f"{usual:g}"
    verb.add_argument(flag, type=float, default=usual, metavar="X", help=f"{text} (default: {about})")
