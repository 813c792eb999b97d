"""The verb that has captions rewritten, and its flags."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from curation.cli import standing
from curation.cli.verbs import do_rewrite_captions


def add(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """`curate captions rewrite`."""
    captions = verbs.add_parser(
        "captions",
        help="have captions rewritten by a program of yours, and keep what is true",
        description="Captions are written by rule when shards are packed; manifests/README.md has them.",
    )
    actions = captions.add_subparsers(dest="action", metavar="ACTION", required=True)
    rewrite = actions.add_parser(
        "rewrite",
        parents=[common],
        help="give facts and drafts to a program, a line a sample, and keep what is true",
        description="Starts a program and gives it a JSON object a line: key, language, prompt, drafts and facts of a "
        "sample, and words: each way of telling each of its facts, and words that tell nothing; of these alone a text may "
        "be made. It answers each with one: key and captions. A text is kept where all that it tells is stored, counted by "
        "its reason where not. Nothing else is asked: no service is called but by the program. Safe to stop and to run "
        "again; exit code 1 where there was no answer for some sample.",
    )
    rewrite.add_argument(
        "--command",
        required=True,
        metavar="C",
        help="the program and its arguments; no shell runs it, and no word of it is kept",
    )
    rewrite.add_argument("--model", required=True, metavar="M", help="what to keep of what it is: a name and version")
    rewrite.add_argument(
        "--prompt", type=Path, metavar="FILE", help="a text that it is given with each sample, and that is kept"
    )
    rewrite.add_argument(
        "--annotation", default="", metavar="NAME", help="which captions, where the recipe has several"
    )
    rewrite.add_argument(
        "--out", type=Path, metavar="FILE", help="default: <annotation>-rewritten.jsonl beside the recipe"
    )
    rewrite.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="seconds that an answer may take (default: %(default)g)",
    )
    rewrite.add_argument(
        "--limit", type=standing.positive, metavar="N", help="only the first N samples, as shards have them"
    )
    rewrite.add_argument(
        "--dry-run", action="store_true", help="say how many samples there are to ask for; nothing is asked or written"
    )
    rewrite.set_defaults(run=do_rewrite_captions)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text}: expected seconds, more than 0")
    return value
