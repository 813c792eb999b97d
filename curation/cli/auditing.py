"""The verb that holds labels against what people see, and its flags."""

from __future__ import annotations

import argparse
from typing import Any

from curation.cli import standing
from curation.cli.verbs import do_audit

DESCRIPTION = """\
Holds the labels of what is packed against what people see. Three steps, each safe to stop and to run again:

  curate audit --n 200             draws patches by chance, some of each class and domain; a larger --n keeps those drawn
  curate audit --reader ann        serves a page on this machine where ann marks them by keyboard; a rerun goes on
  curate audit --score             accuracy of all and of each class, with intervals; kappa of two readers; where they differ

The page is blind: it shows pictures and classes, and not what the dataset says. Marks lie in marks-<reader>.jsonl of the
folder, a line each, and draw.json there says what was drawn: keep both, they are the evidence. Figures are weighted, so that
they are of all patches of the dataset although rare classes are drawn more often than others; what they say of a place
depends on what can be seen in pictures of this size.

examples:
  curate audit --dataset ssl4eo-s12-ml --n 300 --label present --dry-run
      says how many patches of each class there are, and how many would be drawn
  curate audit --dataset ssl4eo-s12-ml --reader ann --bands true-colour --no-browser
"""


def add_audit(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """What holds labels against what people see."""
    audit = verbs.add_parser(
        "audit",
        parents=[common],
        help="hold labels against what people see: a blind sample, marked on a local page",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = audit.add_argument
    add("--to", metavar="FOLDER", help="where the audit lies (default: <root>/<dataset>/audit)")
    add(
        "--n",
        type=standing.positive,
        metavar="N",
        dest="count",
        help="patches to draw (default: 200, or as many as are)",
    )
    add("--label", metavar="L", help="main (the class with most of a patch), present (all classes there) or target")
    add("--domain", metavar="D", help="column of the samples table, season, split, or '' for none (default: region)")
    add("--seed", type=int, metavar="N", help="of the draw (default: 0)")
    add(
        "--least",
        type=standing.positive,
        metavar="N",
        help="patches of a class and domain before any has more (default: 5)",
    )
    add("--reader", metavar="NAME", dest="who", help="serve the page, and keep marks as this reader's")
    add(
        "--bands",
        type=_listed,
        default=(),
        metavar="B,B",
        help="pictures: of true-colour, false-colour, radar (default: all)",
    )
    add("--season", default="", metavar="S", help="of pictures of patches whose labels have no season")
    add("--port", type=int, default=0, metavar="N", help="of the page (default: 0, a free one)")
    add("--no-browser", action="store_true", help="open the page in no browser; its URL is printed")
    add("--score", action="store_true", help="say what the marks come to")
    add("--dry-run", action="store_true", help="draw, and write nothing")
    audit.set_defaults(run=do_audit)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
