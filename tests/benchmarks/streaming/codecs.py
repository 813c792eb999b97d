"""Codecs on real pixels: `python -m tests.benchmarks.streaming.codecs [FILE] [--quick]`.

Per kind of array: ratio, decode and encode in MB/s of decoded bytes, one thread, of Blosc 1 over whole `.npy` files, with
{lz4, lz4hc, zstd} × {shuffle, bitshuffle} × levels × block sizes; then one fast and one dense codec per dtype. A member is
decoded into a reused buffer, as the reader does. Blosc 2 is on lines of its own where `blosc2` can be imported.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import blosc

from tests.benchmarks.streaming import pixels

LEVELS, BLOCKS = (1, 3, 5, 9), (0, 1 << 16, 1 << 18)
SHUFFLES = {"shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}
PATIENCE_S = 0.02
"""Decoding is repeated for so long per member, and the fastest run counts."""
FAST_SHARE = 0.75
"""The fast codec is the densest of those that decode at least at this share of the fastest one's rate."""
DENSE_FLOOR = 0.2
"""The dense codec is the densest of those that decode at this share of the fastest one's rate, and encode at 20 MB/s."""
ENCODE_FLOOR = 20.0


@dataclass(slots=True)
class Score:
    """Sums over the members of a kind."""

    raw: int = 0
    packed: int = 0
    decode_s: float = 0.0
    encode_s: float = 0.0

    @property
    def ratio(self) -> float:
        return self.raw / self.packed

    @property
    def decode(self) -> float:
        return self.raw / self.decode_s / 1e6

    @property
    def encode(self) -> float:
        return self.raw / self.encode_s / 1e6


@dataclass(frozen=True, slots=True)
class Member:
    """One array as a codec gets it."""

    kind: str
    origin: str
    file: bytes
    itemsize: int
    dtype: str


def members() -> list[Member]:
    """The real arrays as `.npy` files."""
    found = []
    for kind, origin, array in pixels.for_codecs():
        out = io.BytesIO()
        np.save(out, np.ascontiguousarray(array))
        found.append(Member(kind, origin, out.getvalue(), array.itemsize, array.dtype.name))
    return found


def fastest(work: Callable[[], Any], patience_s: float) -> float:
    """Seconds of the fastest of the runs that fit into `patience_s`, at least one."""
    best, until = float("inf"), time.perf_counter() + patience_s
    while True:
        started = time.perf_counter()
        work()
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended > until:
            return best


def measure(todo: Iterable[Member], combos: list[tuple[str, str, int, int]]) -> dict[tuple[str, str], Score]:
    """Per (kind, codec) what it took; every decoded file is compared with what went in."""
    scores: dict[tuple[str, str], Score] = defaultdict(Score)
    for m in todo:
        out = bytearray(len(m.file))
        for name, shuffle, level, block in combos:
            args = (m.file, name.encode(), level, SHUFFLES[shuffle], block, m.itemsize)
            packed = blosc.compress(*args)
            score = scores[m.kind, f"{name}-{level} {shuffle} {f'{block >> 10}k' if block else 'auto'}"]
            score.encode_s += fastest(lambda args=args: blosc.compress(*args), 0)  # type: ignore[misc]
            score.decode_s += fastest(lambda p=packed, o=out: blosc.decompress(p, o), PATIENCE_S)  # type: ignore[misc]
            if out != m.file:
                raise RuntimeError(f"{name}-{level} {shuffle} on {m.kind}: other bytes came back; do not use it")
            score.raw += len(m.file)
            score.packed += len(packed)
    return scores


def blosc2_lines(todo: list[Member]) -> list[str]:
    """What Blosc 2 does in one thread, lz4 and zstd with bitshuffle; a line that says so where it is not there."""
    if importlib.util.find_spec("blosc2") is None:
        return ["Blosc 2: not importable here, so not measured (pip install blosc2 into this environment to have it)."]
    import blosc2

    blosc2.set_nthreads(1)
    lines = ["| kind | Blosc 2 | ratio | decode | encode |", "|---|---|---|---|---|"]
    for kind in dict.fromkeys(m.kind for m in todo):
        for codec, level in ((blosc2.Codec.LZ4, 5), (blosc2.Codec.ZSTD, 1), (blosc2.Codec.ZSTD, 5)):
            score = Score()
            for m in (m for m in todo if m.kind == kind):
                how = {"codec": codec, "clevel": level, "filter": blosc2.Filter.BITSHUFFLE, "typesize": m.itemsize}
                packed, out = blosc2.compress(m.file, **how), bytearray(len(m.file))
                score.encode_s += fastest(lambda m=m, how=how: blosc2.compress(m.file, **how), 0)  # type: ignore[misc]
                score.decode_s += fastest(lambda p=packed, o=out: blosc2.decompress(p, o), PATIENCE_S)  # type: ignore[misc]
                score.raw, score.packed = score.raw + len(m.file), score.packed + len(packed)
            name = f"{codec.name.lower()}-{level} bitshuffle"
            lines.append(f"| {kind} | {name} | {score.ratio:.3f} | {score.decode:,.0f} | {score.encode:,.0f} |")
    return lines


def choose(scores: dict[str, Score]) -> tuple[str, str]:
    """(fast, dense): names of the two codecs that the constants above pick."""
    usable = {n: s for n, s in scores.items() if s.encode >= ENCODE_FLOOR}
    top = max(s.decode for s in usable.values())
    fast = {n: s for n, s in usable.items() if s.decode >= FAST_SHARE * top}
    dense = {n: s for n, s in usable.items() if s.decode >= DENSE_FLOOR * top}
    return max(fast, key=lambda n: scores[n].ratio), max(dense, key=lambda n: scores[n].ratio)


def report(todo: list[Member], combos: list[tuple[str, str, int, int]]) -> str:
    """The whole as Markdown."""
    by_kind: dict[str, dict[str, Score]] = defaultdict(dict)
    for (kind, codec), score in measure(todo, combos).items():
        by_kind[kind][codec] = score
    head = [
        "| array | dtype | MB | fast | ratio | decode | encode | dense | ratio | decode | encode |",
        "|---" * 11 + "|",
    ]
    rows: list[str] = []
    for kind, scores in by_kind.items():
        some = [m for m in todo if m.kind == kind]
        cells = [kind, some[0].dtype, f"{sum(len(m.file) for m in some) / 1e6:.2f}"]
        for name in choose(scores):
            s = scores[name]
            cells += [name, f"{s.ratio:.3f}", f"{s.decode:,.0f}", f"{s.encode:,.0f}"]
        head.append(f"| {' | '.join(cells)} |")
        rows += ["", f"### {kind}, {some[0].dtype}: {', '.join(dict.fromkeys(m.origin for m in some))}"]
        rows += ["| codec | ratio | decode MB/s | encode MB/s |", "|---|---|---|---|"]
        for name, s in sorted(scores.items(), key=lambda item: -item[1].ratio):
            rows.append(f"| {name} | {s.ratio:.3f} | {s.decode:,.0f} | {s.encode:,.0f} |")
    about = (
        "Blosc 1 (numcodecs) over .npy files of real pixels, one thread, MB/s of decoded bytes. Fast: densest of those "
        f"that decode at ≥ {FAST_SHARE:.0%} of the fastest; dense: densest at ≥ {DENSE_FLOOR:.0%}; both encode at ≥ "
        f"{ENCODE_FLOOR:.0f} MB/s."
    )
    return "\n".join(["# Codecs", "", about, "", *head, "", *blosc2_lines(todo), *rows, ""])


def main(argv: list[str]) -> None:
    """Measures, and writes to the file that is named, else to standard output."""
    blosc.use_threads = False
    levels, blocks = (LEVELS[::2], BLOCKS[:1]) if "--quick" in argv else (LEVELS, BLOCKS)
    combos = list(itertools.product(("lz4", "lz4hc", "zstd"), SHUFFLES, levels, blocks))
    text = report(members(), combos)
    files = [a for a in argv if not a.startswith("--")]
    if files:
        Path(files[0]).write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
