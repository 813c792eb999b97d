"""What a build will take, by what ten patches of each season took."""

import re
from collections import Counter
from pathlib import Path

import pytest

from curation.api import calibrated
from curation.build.counted import Cost
from curation.read import ranges
from curation.report.estimate import Estimate
from tests.run import Curate


def estimate(folder: str, season: str, todo: int) -> Estimate:
    return Estimate(folder, season, todo, todo, 0, 0.0, 0.0, 0.0, 0.0)


def test_what_all_take_is_what_ten_took_as_often_as_there_are_ten():
    cost = Cost(10, 36.0, 5_000, Counter(a=20, b=4), Counter(a=1_000, b=500))
    cubes = [estimate("r", "s", 90), estimate("q", "s", 10), estimate("r.children", "s", 7)]
    assert calibrated.said(cubes, {("", "s"): cost}, 2) == [
        "a: 200 requests, 10.0 kB read",
        "b: 40 requests, 5.0 kB read",
        "all: 240 requests, 15.0 kB read, 50.0 kB stored of 100 patches",
        "0.10 hours of one thread, 0.05 of 2, where server and network give as much to each",
        "not calibrated, and not among these: r.children/s",
    ]


@pytest.mark.slow
def test_a_dry_run_that_calibrates_writes_nothing_and_tells_what_the_first_patches_read(
    built: Curate, tmp_path: Path, capsys
):
    mine = Curate(built.world, tmp_path / "root")
    with ranges.tallied() as tally:
        assert mine("build", "--season", "summer", "--dry-run", "--calibrate", "--scheduler", "none") == 0
    assert not mine.root.exists()
    said = capsys.readouterr().out
    assert "Calibrated by 20 patches of europe" in said  # static comes first
    found = {name: int(n.replace(",", "")) for name, n in re.findall(r"^(\w+): ([\d,]+) requests", said, re.MULTILINE)}
    assert {"s2l2a", "s1rtc", "dem", "worldcover", "dynamicworld"} <= set(found)
    # 25 are to be built, of each season, and 10 were.
    assert abs(found["all"] - 2.5 * tally.requests.total()) <= len(found)
    s2 = sum(n for name, n in tally.requests.items() if "s2/" in name)
    assert abs(found["s2l2a"] - 2.5 * s2) <= 1


def test_what_calibrates_is_a_dry_run(built: Curate, capsys):
    assert built("build", "--calibrate") == 2
    assert "--calibrate is of --dry-run" in capsys.readouterr().err
