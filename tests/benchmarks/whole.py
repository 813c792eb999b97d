"""What a whole dataset would take, from what a small one takes here: `python -m tests.benchmarks.whole [--places 10]`.

Some places of each region of the embedded Earth are built and packed in one process, the archive's server being another:
requests and bytes of the archive (its own log), objects and bytes that were written, and CPU seconds of this process. All
of it is per patch the same for a larger draw, but for what neighbours share: places of the embedded Earth lie as densely
as those around a city do. From these the published sizes follow, on machines of `CORES` cores that get `GBIT_S` each,
`PER_HOST` requests at a time, answered in `ANSWER_S`: hours are of the slowest of the three, as if it alone were waited
for. **Nothing of that was measured, and an archive that limits requests is slower.** Money is requests at list prices
alone: no machines, no storage, no traffic between regions.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import curation
from curation import embedded

CORES, GBIT_S, PER_HOST, ANSWER_S = 16, 10.0, 32, 0.05
MACHINES = (1, 16, 64)
READ_USD, WRITE_USD = 0.0004e-3, 0.005e-3
"""Of one request: GET and PUT of S3 Standard in us-east-1, as Amazon lists them, 0.0004 and 0.005 USD a thousand."""

WHOLE = {"ssl4eo-s12-ml": ("places", 250_000, 4), "ssl4eo-s": ("cells", 1_000_000, 1)}
"""Dataset → (what, how many there are, in how many seasons): SSL4EO-S12's 250,000 places; a million footprints."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one patch."""

    requests: float
    read_mb: float
    objects: float
    written_mb: float
    cpu_s: float


def measured(name: str, places: int) -> tuple[int, Cost]:
    """How many patches were made, and what each took. The Earth is rendered by a first run, which is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2):
            log, root = Path(folder) / f"log{number}", Path(folder) / f"root{number}"
            # Its regions, sources and maps of labels are asked for as ever; only its server has a log as well.
            with mock.patch.object(embedded, "serve", functools.partial(embedded.serve, log=log)):
                made = curation.load(name, root, catalog="embedded", scheduler="none")
                began = time.process_time()
                built = made.build(limit=places)
                made.pack()
                cpu_s = time.process_time() - began
        asked = [json.loads(line) for line in log.read_text().splitlines()]
        written = [p.stat().st_size for p in root.rglob("*") if p.is_file()]
        patches = sum(built.counts.values())
    return patches, Cost(
        len(asked) / patches,
        sum(a["bytes"] for a in asked) / patches / 1e6,
        len(written) / patches,
        sum(written) / patches / 1e6,
        cpu_s / patches,
    )


def told(name: str, patches: int, cost: Cost) -> None:
    """Prints both tables."""
    what, places, seasons = WHOLE[name]
    count = places * seasons
    print(f"\n## {name}: measured of {patches} patches, synthetic pixels\n")
    print("| per patch: requests | MB read | objects written | MB written | CPU s |\n|---|---|---|---|---|")
    print(
        f"| {cost.requests:.1f} | {cost.read_mb:.2f} | {cost.objects:.2f} | {cost.written_mb:.2f} | {cost.cpu_s:.2f} |"
    )
    print(f"\n{places:,} {what} in {seasons} seasons, reckoned:\n")
    print("| machines | h of CPU | h of bytes | h of requests | h |\n|---|---|---|---|---|")
    for n in MACHINES:
        hours = [
            count * cost.cpu_s / CORES / n / 3600,
            count * cost.read_mb * 8e-3 / GBIT_S / n / 3600,
            count * cost.requests * ANSWER_S / PER_HOST / n / 3600,
        ]
        print(f"| {n} | {' | '.join(f'{h:,.1f}' for h in hours)} | **{max(hours):,.1f}** |")
    money = count * (cost.requests * READ_USD + cost.objects * WRITE_USD)
    print(
        f"\n{count * cost.requests / 1e6:,.1f} million requests for {count * cost.read_mb / 1e6:,.1f} TB, "
        f"{count * cost.objects / 1e6:,.1f} million objects of {count * cost.written_mb / 1e6:,.1f} TB: {money:,.0f} USD"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=10, help="per region (default: 10)")
    parser.add_argument("--datasets", nargs="+", choices=WHOLE, default=list(WHOLE))
    args = parser.parse_args()
    for name in args.datasets:
        told(name, *measured(name, args.places))


if __name__ == "__main__":
    main()
