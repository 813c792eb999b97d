"""Figures of whole builds: `python -m tests.benchmarks.builds job|folder|against`.

- `job [--places 10]`: the main job on the embedded Earth, its server on one core and the one worker on the other: patches a
  second, CPU of worker, client, Dask and server a patch, and where the worker's CPU goes.
- `folder [--places 48]`: the same from COGs in a folder, without a server, on one worker and on two: CPU of each process,
  and how long how many of them were at work.
- `against CHECKOUT [--places 12]`: CPU a patch beside that of another state of this program, by pairs, from one server.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.benchmarks.builds import against, folder, job


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ssl4eo-s12-ml")
    parser.add_argument("--region", default="lower-rhine+sao-paulo")
    parts = parser.add_subparsers(dest="part", required=True)
    for name, places in (("job", 10), ("folder", 48), ("against", 12)):
        part = parts.add_parser(name)
        part.add_argument("--places", type=int, default=places, help=f"per region (default: {places})")
        if name != "job":
            part.add_argument("--rounds", type=int, default=3)
        if name == "against":
            part.add_argument("checkout", type=Path)
    args = parser.parse_args()
    if args.part == "job":
        job.main(args.dataset, args.places, args.region)
    elif args.part == "folder":
        folder.main(args.dataset, args.places, args.region, args.rounds)
    else:
        against.main(args.checkout, args.dataset, args.places, args.region, args.rounds)


if __name__ == "__main__":
    main()
