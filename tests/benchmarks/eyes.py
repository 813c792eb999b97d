"""Which masks to accept, judged by eye: `python -m tests.benchmarks.eyes`.

A site of 640 m in Belgium with 118 Sentinel-2 dates (`$CURATION_SHARED/data/real-archive-belgium`) is cut into quadrants
of 320 m: 472 windows. Every other date, from the first on, is the tuning half, on which sets and thresholds were chosen;
the rest is the judged half. `verdicts/` holds what was seen in each window; what SCL says of it is read here.

How it was judged. `--sheets FOLDER` draws 24 windows a sheet in an order by chance, with a running number and no date,
name or SCL: true colour (B04 B03 B02), infrared (B11 B8A B04) and, as surroundings, the whole site with the window framed;
one stretch for all. All 30 sheets were looked at, and their verdicts written down, before any SCL pixel was: the judged
half, then the tuning half, then the judged half again in another order and turned by a quarter, without looking at the
first reading. The reader was a vision model, not a person. Both readings are its own, minutes and ten other sheets apart:
their agreement says how well the reader repeats itself, not how well two people would agree. That 2017-10-23 is haze and
2018-09-23 overcast was known beforehand (`tests/test_belgium.py`), but not which windows are theirs. A verdict is of the
window, not of the site:

clear   at most a tenth is touched by cloud, haze or shadow
haze    the ground is seen, washed out against clear dates
cloud   cloud, or the shadow of one, on more than a tenth; also haze through which no ground is seen
snow    snow on the ground (none was seen)
unsure  cannot tell (not used)

An error is a window accepted and seen as touched, or refused and seen as clear; where two readings differ it is neither.
The rule chosen is the one with fewest errors on the tuning half, of windows and of the whole site together; of equals the
one that takes fewer touched, then the less strict. `max_snow` could not be chosen: no mask of that half holds a pixel of
snow. Standard errors are over draws of whole dates, since the windows of a date are not independent.

Pairs are windows for which the two rankings choose two dates; which one is clearer was judged once, with sides by chance
and no date, but after the tables and the drawn months had been seen.

`--join FOLDER` puts verdicts noted in the order of the sheets into `verdicts/`: letters apart by blanks, in `tuning-1.txt`,
`judged-1.txt` and `judged-2.txt` (c, h, k, s, u as above; k is cloud), in `pairs.txt` L, R or =. `--months FOLDER` draws
what each of 16 months chooses under each ranking and rule.

What this cannot say: it is one site of fields and a village, 16 months, one baseline (02.06 by the items) and its SCL;
desert, snow on the ground, coast, water, large roofs and patches of more than 640 m are not in it. The archive's
`eo:cloud_cover` is computed from the SCL of the very site, so that ranking by it knows more than a real scene's would
tell: the months are shown without it as well.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from curation.scenes.rank import ANCHOR_STEP_DAYS, CLOUD_STEP_PCT

ARCHIVE = Path(os.environ.get("CURATION_SHARED", Path(__file__).parents[3] / "shared")) / "data/real-archive-belgium"
VERDICTS = Path(__file__).parent / "verdicts"
READINGS = {"tuning": 1, "judged": 2}
LETTERS = {"c": "clear", "h": "haze", "k": "cloud", "s": "snow", "u": "unsure"}
QUADRANTS = ("nw", "ne", "sw", "se")
WINTER = ("11", "12", "01", "02")
"""Months of low sun, in which SCL leaves roofs and dim ground dark or unclassified."""

SHOWN = {"colour": ("B04", "B03", "B02"), "infrared": ("B11", "B8A", "B04")}
WHITE_DN = {"B02": 3000, "B03": 3000, "B04": 3000, "B8A": 6000, "B11": 5000}
GAMMA = 1.3
SITE_PX, COLUMNS, ROWS, SIDE_PX, HEAD_PX, GAP_PX = 64, 4, 6, 128, 14, 6

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
MAX_SCENE_CLOUD_PCT, MAX_CANDIDATES, MAX_GAP_DAYS = 90.0, 8, 12.0


@dataclass(frozen=True, slots=True)
class Window:
    """A quadrant of the site on a date."""

    scene: str
    quadrant: str

    @property
    def month(self) -> str:
        return day_of(self.scene)[4:6]


@dataclass(frozen=True, slots=True)
class Sets:
    """What SCL's codes are taken for. Disjoint; what is in none, and is not invalid, is cloud or shadow."""

    name: str
    clear: tuple[int, ...]
    doubtful: tuple[int, ...]
    snow: tuple[int, ...] = ()

    def shares(self, scl: NDArray[np.uint8]) -> tuple[float, float, float]:
        """Clear, doubtful and snow, each as a share of all pixels."""
        clear, doubtful, snow = (float(np.isin(scl, codes).mean()) for codes in (self.clear, self.doubtful, self.snow))
        return clear, doubtful, snow


@dataclass(frozen=True, slots=True)
class Rule:
    """What is accepted."""

    sets: Sets
    min_clear: float
    """Least share of clear, doubtful and snow together: of what is neither cloud nor shadow nor without data."""
    max_doubtful: float
    max_snow: float = 1.0
    min_valid: float = 1.0

    def __str__(self) -> str:
        return f"{self.min_clear} / {self.max_doubtful} / {self.max_snow}"

    def accepts(self, scl: NDArray[np.uint8]) -> bool:
        clear, doubtful, snow = self.sets.shares(scl)
        return clear + doubtful + snow >= self.min_clear and doubtful <= self.max_doubtful and snow <= self.max_snow


BEFORE_SETS = Sets("2 4 5 6 | 7 11", (2, 4, 5, 6), (7, 11))
SETS = (
    BEFORE_SETS,
    Sets("2 4 5 6 | 7 | 11", (2, 4, 5, 6), (7,), (11,)),
    Sets("4 5 6 | 2 7 | 11", (4, 5, 6), (2, 7), (11,)),
    Sets("4 5 6 | 7 | 11, 2 is shadow", (4, 5, 6), (7,), (11,)),
    Sets("2 4 5 6 | – | 11, 7 is cloud", (2, 4, 5, 6), (), (11,)),
    Sets("2 4 5 6 7 | – | 11", (2, 4, 5, 6, 7), (), (11,)),
)
BEFORE = Rule(BEFORE_SETS, 0.9, 0.5)
AFTER = Rule(SETS[1], 0.98, 0.5, 0.5, 0.999)
RULES = (
    BEFORE,
    AFTER,
    replace(AFTER, min_clear=0.95),
    replace(AFTER, max_doubtful=0.2),
)


@lru_cache(maxsize=2)
def items(collection: str = "sentinel-2-l2a") -> tuple[dict, ...]:
    """Items of the archive in order of time."""
    found = json.loads((ARCHIVE / "items.json").read_text())["features"]
    mine = (f for f in found if f["collection"] == collection)
    return tuple(sorted(mine, key=lambda f: (f["properties"]["datetime"], f["id"])))


def day_of(scene: str) -> str:
    return scene.split("_")[2][:8]


def time_of(item: dict) -> dt.datetime:
    return dt.datetime.fromisoformat(item["properties"]["datetime"])


def windows(half: str) -> list[Window]:
    """Windows of every other date, in order of time."""
    scenes = [f["id"] for f in items()][list(READINGS).index(half) :: 2]
    return [Window(s, q) for s in scenes for q in QUADRANTS]


def shuffled(half: str, reading: int) -> list[Window]:
    """Windows in the order in which a reading's sheets show them."""
    mine = windows(half)
    order = np.random.default_rng([len(half), ord(half[0]), reading]).permutation(len(mine))
    return [mine[i] for i in order]


@lru_cache(maxsize=2048)
def band(scene: str, name: str) -> NDArray[np.uint16]:
    """A band of the whole site, at its own resolution."""
    (file,) = (ARCHIVE / "sentinel-2-l2a" / scene).glob(f"{name}_*.tif")
    with rasterio.open(file) as opened:
        return opened.read(1)


def part(pixels: NDArray, quadrant: str) -> NDArray:
    """A quadrant of the site's pixels."""
    half = pixels.shape[0] // 2
    top, left = half * (quadrant[0] == "s"), half * (quadrant[1] == "e")
    return pixels[top : top + half, left : left + half]


def scl_of(window: Window) -> NDArray[np.uint8]:
    return part(band(window.scene, "SCL"), window.quadrant)


# --- sheets ---


def picture(scene: str, shown: str) -> NDArray[np.uint8]:
    """The site in 64 × 64 × 3 bytes, in one stretch for all dates."""
    parts = []
    for name in SHOWN[shown]:
        dn = band(scene, name).astype(float)
        dn = dn.repeat(SITE_PX // dn.shape[0], axis=0).repeat(SITE_PX // dn.shape[1], axis=1)
        parts.append((dn / WHITE_DN[name]).clip(0, 1) ** (1 / GAMMA))
    return (np.stack(parts, axis=-1) * 255).round().astype(np.uint8)


def framed(pixels: NDArray[np.uint8], quadrant: str) -> NDArray[np.uint8]:
    """The site with a line around a quadrant."""
    out = np.pad(pixels, ((1, 1), (1, 1), (0, 0)))
    half = SITE_PX // 2
    top, left = half * (quadrant[0] == "s"), half * (quadrant[1] == "e")
    out[top : top + half + 2, [left, left + half + 1]] = (255, 0, 255)
    out[[top, top + half + 1], left : left + half + 2] = (255, 0, 255)
    return out


def tile(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)


def sheets(folder: Path, half: str, reading: int) -> None:
    """Draws a reading's sheets; each reading turns the pictures by another quarter."""
    order = shuffled(half, reading)
    wide, high = 3 * SIDE_PX + GAP_PX, SIDE_PX + HEAD_PX
    for first in range(0, len(order), COLUMNS * ROWS):
        sheet = Image.new("RGB", (COLUMNS * wide, ROWS * high), "black")
        draw = ImageDraw.Draw(sheet)
        for place, window in enumerate(order[first : first + COLUMNS * ROWS]):
            x, y = place % COLUMNS * wide, place // COLUMNS * high
            draw.text((x + 2, y + 1), str(first + place), fill="yellow")
            colour, infrared = picture(window.scene, "colour"), picture(window.scene, "infrared")
            parts = (part(colour, window.quadrant), part(infrared, window.quadrant), framed(colour, window.quadrant))
            for at, pixels in enumerate(parts):
                sheet.paste(tile(np.rot90(pixels, reading - 1)), (x + at * SIDE_PX, y + HEAD_PX))
        sheet.save(folder / f"{half}-{reading}-{first // (COLUMNS * ROWS):02}.png")


def join(folder: Path) -> None:
    """Writes `verdicts/` from verdicts noted in the order of the sheets."""
    for half, readings in READINGS.items():
        seen: list[dict[Window, str]] = []
        for reading in range(1, readings + 1):
            letters = (folder / f"{half}-{reading}.txt").read_text().split()
            seen.append({w: LETTERS[x] for w, x in zip(shuffled(half, reading), letters, strict=True)})
        with (VERDICTS / f"{half}.csv").open("w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(["scene", "window", *(f"reading_{r}" for r in range(1, readings + 1))])
            out.writerows([w.scene, w.quadrant, *(s[w] for s in seen)] for w in windows(half))
    letters = (folder / "pairs.txt").read_text().split()
    with (VERDICTS / "pairs.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["window", "first", "best", "clearer"])
        for pair, letter in zip(shuffled_pairs(), letters, strict=True):
            clearer = "equal" if letter == "=" else "best" if (letter == "L") == pair.best_left else "first"
            out.writerow([pair.quadrant, pair.first, pair.best, clearer])


# --- tables over windows ---


def verdicts(half: str) -> dict[Window, tuple[str, ...]]:
    """What each reading saw."""
    with (VERDICTS / f"{half}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {Window(r["scene"], r["window"]): tuple(r[f"reading_{n + 1}"] for n in range(READINGS[half])) for r in rows}


def agreed(half: str) -> dict[Window, str]:
    """Verdicts on which the readings agree; `disputed` where they do not."""
    return {w: seen[0] if len(set(seen)) == 1 else "disputed" for w, seen in verdicts(half).items()}


def agreement(pairs: Sequence[tuple[str, ...]]) -> tuple[float, float]:
    """Share of equal verdicts, and Cohen's kappa."""
    same = sum(a == b for a, b in pairs) / len(pairs)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[k] * second[k] for k in first) / len(pairs) ** 2
    return same, (same - chance) / (1 - chance)


@dataclass(frozen=True, slots=True)
class Score:
    """A rule against verdicts."""

    accepted: int
    hazy: int
    """Accepted, and seen as haze."""
    cloudy: int
    """Accepted, and seen as cloud or shadow."""
    lost: int
    """Seen as clear, and refused."""
    lost_winter: int
    clear: int
    clear_winter: int

    @property
    def touched(self) -> int:
        return self.hazy + self.cloudy

    @property
    def errors(self) -> int:
        return self.touched + self.lost

    def row(self) -> str:
        share = 100 * self.touched / max(self.accepted, 1)
        return (
            f"{self.accepted} | {self.touched} ({self.hazy} + {self.cloudy}) | {share:.1f} % "
            f"| {self.lost} of {self.clear} | {self.lost_winter} of {self.clear_winter}"
        )


def score(rule: Rule, seen: dict[Window, str]) -> Score:
    """A rule against verdicts of windows; what the readings dispute is neither touched nor clear."""
    taken = {w for w in seen if rule.accepts(scl_of(w))}
    clear = {w for w, v in seen.items() if v == "clear"}
    winter = {w for w in clear if w.month in WINTER}
    return Score(
        len(taken),
        sum(seen[w] == "haze" for w in taken),
        sum(seen[w] == "cloud" for w in taken),
        len(clear - taken),
        len(winter - taken),
        len(clear),
        len(winter),
    )


def site_score(rule: Rule, seen: dict[Window, str]) -> Score:
    """The same for the whole site, which is clear where all of its windows are."""
    scenes = sorted({w.scene for w in seen})
    looks = {s: look(seen, s, QUADRANTS) for s in scenes}
    taken = {s for s in scenes if rule.accepts(band(s, "SCL"))}
    clear = {s for s in scenes if looks[s] == "clear"}
    winter = {s for s in clear if Window(s, "").month in WINTER}
    hazy, cloudy = (sum(looks[s] == v for s in taken) for v in ("haze", "cloud"))
    return Score(len(taken), hazy, cloudy, len(clear - taken), len(winter - taken), len(clear), len(winter))


def fewer_errors(rule: Rule, seen: dict[Window, str]) -> tuple[int, float]:
    """How many windows fewer than `BEFORE` a rule gets wrong, and its standard error over draws of whole dates."""
    fewer: Counter[str] = Counter()
    for window, verdict in seen.items():
        if verdict != "disputed":
            wrong = [r.accepts(scl_of(window)) != (verdict == "clear") for r in (BEFORE, rule)]
            fewer[window.scene] += wrong[0] - wrong[1]
    by_date = np.array(list(fewer.values()))
    draws = np.random.default_rng(0).integers(by_date.size, size=(4000, by_date.size))
    return int(by_date.sum()), float(by_date[draws].sum(axis=1).std())


HEADS = "accepted | of these touched (haze + cloud) | share | clear lost | of these November to February"


def print_agreement() -> None:
    """Prints how the two readings agree."""
    pairs = list(verdicts("judged").values())
    thin = [p for p in pairs if p != ("cloud", "cloud")]
    for said, some in (("all", pairs), ("without those cloudy in both", thin)):
        same, kappa = agreement(some)
        print(f"judged half, two readings, {said}: {len(some)} windows, {100 * same:.1f} % agree, kappa {kappa:.3f}")
    print("\n| first reading | second | windows |\n|---|---|---|")
    for (first, second), count in sorted(Counter(pairs).items()):
        print(f"| {first} | {second} | {count} |")


def print_codes() -> None:
    """Prints what SCL calls the windows of each verdict."""
    for half in READINGS:
        seen = agreed(half)
        print(f"\n{half} half: mean share of each SCL code\n")
        print("| seen as | windows | " + " | ".join(map(str, range(12))) + " |\n|" + "---|" * 14)
        for verdict in sorted(set(seen.values())):
            masks = [scl_of(w) for w, v in seen.items() if v == verdict]
            shares = [np.mean([(m == code).mean() for m in masks]) for code in range(12)]
            print(f"| {verdict} | {len(masks)} | " + " | ".join(f"{s:.3f}" for s in shares) + " |")


def print_choice() -> None:
    """Prints the tuning half: sets first, then thresholds."""
    seen = agreed("tuning")
    print(f"\ntuning half, by sets (clear | doubtful | snow), min_clear 0.9\n\n| sets | max_doubtful | {HEADS} |")
    print("|" + "---|" * 7)
    for sets in SETS:
        for most in (0.1, 0.2, 0.3, 0.5) if sets.doubtful else (1.0,):
            print(f"| {sets.name.replace(' |', ';')} | {most} | {score(Rule(sets, 0.9, most), seen).row()} |")
    print(f"\ntuning half, sets {AFTER.sets.name}: windows, then the whole site (touched + lost)\n")
    print(f"| min_clear | max_doubtful | {HEADS} | errors | site |\n|" + "---|" * 9)
    for least in (0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 1.0):
        for most in (0.2, 0.3, 0.4, 0.5, 0.6, 1.0):
            rule = Rule(AFTER.sets, least, most)
            found, whole = score(rule, seen), site_score(rule, seen)
            print(f"| {least} | {most} | {found.row()} | {found.errors} | {whole.touched} + {whole.lost} |")


def print_judged() -> None:
    """Prints both halves before and after."""
    print("\nbefore, after and other rules (min_clear / max_doubtful / max_snow): windows, then the whole site\n")
    print(f"| half | rule | {HEADS} | errors | fewer than before ± standard error | site |\n|" + "---|" * 9)
    for half in READINGS:
        seen = agreed(half)
        for rule in RULES:
            found, whole = score(rule, seen), site_score(rule, seen)
            fewer, error = fewer_errors(rule, seen)
            print(
                f"| {half} | {rule} | {found.row()} | {found.errors} | {fewer} ± {error:.1f} "
                f"| {whole.touched} + {whole.lost} of {whole.clear} |"
            )


# --- months ---


@dataclass(frozen=True, slots=True)
class Choice:
    """What a ranking and a rule choose in a month."""

    scene: str | None
    masks: int
    """Masks read."""
    anchor_days: float = float("nan")
    """Days between the scene and the middle of the month."""
    radar_days: float = float("nan")
    """Days between the scene and the nearest Sentinel-1 of the month."""


def months() -> list[tuple[dt.datetime, dt.datetime]]:
    """Begin and end of each of the archive's 16 months."""
    begins = [dt.datetime(2017 + m // 12, m % 12 + 1, 1, tzinfo=dt.UTC) for m in range(7, 24)]
    return list(pairwise(begins))


def candidates(half: str, begin: dt.datetime, end: dt.datetime, known: bool) -> list[list[dict]]:
    """Dates of a month in groups that rank equal, best first. `known`: whether the scene's cloud cover is."""
    mine = {w.scene for h in READINGS if half in (h, "all") for w in windows(h)}
    anchor = begin + (end - begin) / 2

    def rank(item: dict) -> tuple[int, int]:
        cloud = int(item["properties"]["eo:cloud_cover"] // CLOUD_STEP_PCT) if known else 0
        return cloud, int(abs(time_of(item) - anchor) / dt.timedelta(days=ANCHOR_STEP_DAYS))

    found = [f for f in items() if f["id"] in mine and begin <= time_of(f) < end]
    if known:
        found = [f for f in found if f["properties"]["eo:cloud_cover"] <= MAX_SCENE_CLOUD_PCT]
    return [list(g) for _, g in groupby(sorted(found, key=lambda f: (*rank(f), f["id"])), key=rank)]


def choose(
    half: str, known: bool, rule: Rule, best: bool, month: tuple[dt.datetime, dt.datetime], where: str
) -> Choice:
    """The first date that passes; `best`: all masks of equals are read, and tried by most clear minus doubtful."""
    begin, end = month
    anchor, one = begin + (end - begin) / 2, dt.timedelta(days=1)
    radar = [time_of(f) for f in items("sentinel-1-rtc") if begin <= time_of(f) < end]
    masks = 0
    for equals in candidates(half, begin, end, known):
        group = equals[: MAX_CANDIDATES - masks]
        if best:
            masks += len(group)
            group.sort(key=lambda f: -worth(rule, f["id"], where))
        for item in group:
            masks += not best
            gap = min(abs(time_of(item) - t) / one for t in radar)
            if gap <= MAX_GAP_DAYS and passes(rule, item["id"], where):
                return Choice(item["id"], masks, abs(time_of(item) - anchor) / one, gap)
    return Choice(None, masks)


def of(scene: str, name: str, where: str) -> NDArray:
    """A band of the site or of one of its quadrants."""
    return band(scene, name) if where == "site" else part(band(scene, name), where)


def worth(rule: Rule, scene: str, where: str) -> float:
    clear, doubtful, _ = rule.sets.shares(of(scene, "SCL", where))
    return clear - doubtful


def passes(rule: Rule, scene: str, where: str) -> bool:
    scl = of(scene, "SCL", where)
    valid = min((scl > 1).mean(), *((of(scene, b, where) > 0).mean() for b in BANDS))
    return bool(valid >= rule.min_valid) and rule.accepts(scl)


def print_months() -> None:
    """Prints what each ranking with each rule takes in 16 months: the whole site, and each quadrant as a patch."""
    seen = agreed("tuning") | agreed("judged")
    print("\n16 months; first: the first of equals that passes; best: the clearest of equals, all their masks read\n")
    print(
        "| dates | cloud cover | patches | ranking | rule | stored | touched (haze + cloud) | masks a patch "
        "| days from anchor, mean (most) | days to Sentinel-1, mean (most) |\n|" + "---|" * 10
    )
    for half, known, places in (
        ("all", True, ("site",)),
        ("all", False, ("site",)),
        ("tuning", True, ("site",)),
        ("judged", True, ("site",)),
        ("all", True, QUADRANTS),
        ("all", False, QUADRANTS),
    ):
        for rule in RULES:
            for best in (False, True):
                found = [(p, choose(half, known, rule, best, m, p)) for m in months() for p in places]
                stored = [(p, c) for p, c in found if c.scene]
                looks = Counter(look(seen, c.scene, QUADRANTS if p == "site" else (p,)) for p, c in stored)
                touched = len(stored) - looks["clear"]
                away, gaps = [c.anchor_days for _, c in stored], [c.radar_days for _, c in stored]
                print(
                    f"| {half} | {'known' if known else 'unknown'} | {'site' if len(places) == 1 else 'quadrants'} "
                    f"| {'best' if best else 'first'} | {rule} | {len(stored)} of {len(found)} "
                    f"| {touched} ({looks['haze']} + {looks['cloud']}) "
                    f"| {sum(c.masks for _, c in found) / len(found):.2f} | {np.mean(away):.1f} ({max(away):.1f}) "
                    f"| {np.mean(gaps):.2f} ({max(gaps):.1f}) |"
                )
    print("\nthe whole site, month by month: clear / doubtful / snow, and how it looks\n")
    columns = [(best, rule) for rule in (BEFORE, AFTER) for best in (False, True)]
    print("| month | " + " | ".join(f"{'best' if b else 'first'}, {r}" for b, r in columns) + " |\n|" + "---|" * 5)
    for month in months():
        cells = []
        for best, rule in columns:
            scene = choose("all", True, rule, best, month, "site").scene
            if scene is None:
                cells.append("–")
            else:
                shares = " / ".join(f"{x:.2f}" for x in AFTER.sets.shares(band(scene, "SCL")))
                touched = Counter(seen[Window(scene, q)] for q in QUADRANTS)
                cells.append(
                    f"{day_of(scene)[6:]}: {shares}, {', '.join(f'{n} {v}' for v, n in sorted(touched.items()))}"
                )
        print(f"| {month[0]:%Y-%m} | " + " | ".join(cells) + " |")


def look(seen: dict[Window, str], scene: str | None, places: Iterable[str]) -> str:
    """How a patch looks: as its worst window; what the readings dispute counts as haze."""
    found = {seen[Window(str(scene), q)] for q in places}
    return "cloud" if "cloud" in found else "clear" if found == {"clear"} else "haze"


def draw_months(folder: Path) -> None:
    """Draws the site of each month as each ranking and rule choose it, a pair of rows each."""
    columns = [(best, rule) for rule in (BEFORE, AFTER) for best in (False, True)]
    side, half = 180, len(months()) // 2
    sheet = Image.new("RGB", (half * (side + GAP_PX), len(columns) * 2 * (side + HEAD_PX)), "black")
    draw = ImageDraw.Draw(sheet)
    for row, (best, rule) in enumerate(columns):
        for at, month in enumerate(months()):
            x, y = at % half * (side + GAP_PX), (2 * row + at // half) * (side + HEAD_PX)
            scene = choose("all", True, rule, best, month, "site").scene
            name = "best" if best else "first"
            draw.text((x + 2, y + 1), f"{name} {rule.min_clear}: {day_of(scene) if scene else 'none'}", fill="yellow")
            if scene:
                shown = Image.fromarray(picture(scene, "colour")).resize((side, side), Image.Resampling.NEAREST)
                sheet.paste(shown, (x, y + HEAD_PX))
    sheet.save(folder / "months.png")


# --- pairs ---


@dataclass(frozen=True, slots=True)
class Pair:
    """A window of a month for which the two rankings choose two dates."""

    quadrant: str
    first: str
    best: str
    best_left: bool = False


def shuffled_pairs() -> list[Pair]:
    """All pairs of three rules, in an order and with sides by chance."""
    found = set()
    for rule in (replace(AFTER, min_clear=0.9), replace(AFTER, min_clear=0.95), AFTER):
        for month in months():
            for q in QUADRANTS:
                first, best = (choose("all", True, rule, b, month, q).scene for b in (False, True))
                if first and best and first != best:
                    found.add((q, first, best))
    rng, order = np.random.default_rng(7), sorted(found)
    rng.shuffle(order)
    return [Pair(*pair, bool(left)) for pair, left in zip(order, rng.integers(2, size=len(order)), strict=True)]


def draw_pairs(folder: Path) -> None:
    found = shuffled_pairs()
    wide, high, across = 2 * SIDE_PX + 8, SIDE_PX + HEAD_PX, 6
    sheet = Image.new("RGB", (across * wide, -(-len(found) // across) * high), "black")
    draw = ImageDraw.Draw(sheet)
    for at, pair in enumerate(found):
        x, y = at % across * wide, at // across * high
        draw.text((x + 2, y + 1), str(at), fill="yellow")
        for side, scene in enumerate((pair.best, pair.first) if pair.best_left else (pair.first, pair.best)):
            sheet.paste(tile(part(picture(scene, "colour"), pair.quadrant)), (x + side * (SIDE_PX + 1), y + HEAD_PX))
    sheet.save(folder / "pairs.png")


def print_pairs() -> None:
    with (VERDICTS / "pairs.csv").open() as file:
        seen = Counter(row["clearer"] for row in csv.DictReader(file))
    print(f"\npairs of windows for which the rankings choose two dates, the clearer one: {dict(seen)}")


def main() -> None:
    """Prints the tables, or draws and joins."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for flag in ("--sheets", "--join", "--months"):
        parser.add_argument(flag, type=Path, metavar="FOLDER")
    given = parser.parse_args()
    if given.sheets:
        given.sheets.mkdir(parents=True, exist_ok=True)
        for half, readings in READINGS.items():
            for reading in range(1, readings + 1):
                sheets(given.sheets, half, reading)
        draw_pairs(given.sheets)
    if given.join:
        join(given.join)
    if given.months:
        given.months.mkdir(parents=True, exist_ok=True)
        draw_months(given.months)
    if not (given.sheets or given.join or given.months):
        print_agreement()
        print_codes()
        print_choice()
        print_judged()
        print_months()
        print_pairs()


if __name__ == "__main__":
    main()
