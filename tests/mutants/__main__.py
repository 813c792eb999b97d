"""Removes each guard of a table, one at a time, and shows that the tests named there notice: `python -m tests.mutants`.

A guard is a check whose absence lets wrong data through in silence; a test that passes without it holds nothing. Each is
removed in a copy of the tree, never in place. It is an error where the text of a guard is not there exactly once (the code
has moved on: the table has to, too), where a named test does not pass on the unchanged copy, and where all pass without it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.row import Mutant
from tests.mutants.table import TABLE

ROOT = Path(__file__).parents[2]
PARTS = (
    *("curation", "tests", "stac_queries", "manifests", "shards/README.md"),
    *("pyproject.toml", ".constraints.txt", "README.md", "LICENSE"),
)
"""What tests need of the tree."""
HANG_S = 120
"""Seconds that one test may take: one that hangs without its guard fails, and so says that it has noticed."""
LIMIT_S = 900
"""Seconds that the tests of one guard may take; what cannot be interrupted is cut off here, and has noticed nothing."""
ROOM_BYTES = 16 << 30
"""Of addresses that a process of theirs may have: one that would fill the machine without its guard fails instead."""
PASSED, FAILED = 0, 1
"""What pytest ends with; all else (nothing collected, a usage error, a crash) says nothing of a guard."""


def main() -> int:
    """0 where every guard is noticed to be gone; each row is printed as it is known."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only guards whose name or file holds one of these")
    words = parser.parse_args().words
    chosen = [m for m in TABLE if not words or any(w in f"{m.guard} {m.file}" for w in words)]
    if not chosen:
        parser.error(f"no guard of the table holds any of {words}")
    with tempfile.TemporaryDirectory(prefix="curation-mutants-") as folder:
        tree = Path(folder) / "tree"
        copied(tree)
        named = sorted({t for m in chosen for t in m.tests})
        code, said = outcome(tree, named, limit_s=LIMIT_S + HANG_S * len(named))
        if code != PASSED:
            print(
                f"{said[-2000:]}\nerror: the tests named do not pass as the code stands: they prove nothing of a guard"
            )
            return 1
        width, wrong = max(len(m.guard) for m in chosen), 0
        for m in chosen:  # each is told as it is known: the whole table takes long
            result = tried(tree, m)
            wrong += result != "noticed"
            print(f"{result:<13} {m.guard:<{width}}  {m.file}  {' '.join(m.tests)}", flush=True)
    print(f"{len(chosen)} guards removed: {len(chosen) - wrong} noticed, {wrong} not")
    return 1 if wrong else 0


def copied(tree: Path) -> None:
    """Copies what tests need to a folder of its own."""
    for part in PARTS:
        source, target = ROOT / part, tree / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)


def check_readable(text: str, file: str) -> None:
    """Passes where it is Python, or TOML: what cannot be read at all would be noticed by any test."""
    if file.endswith(".toml"):
        tomllib.loads(text)
    else:
        compile(text, file, "exec")


def tried(tree: Path, mutant: Mutant) -> str:
    """`noticed`, `SURVIVED`, `NOT APPLIED` or `ERROR` (the tests did not run to their end)."""
    path = tree / mutant.file
    whole = path.read_text()
    if whole.count(mutant.find) != 1:
        return "NOT APPLIED"
    path.write_text(whole.replace(mutant.find, mutant.replacement))
    try:
        check_readable(path.read_text(), mutant.file)
        code, said = outcome(tree, mutant.tests)
    finally:
        path.write_text(whole)
    if code == FAILED and any(line.startswith("FAILED ") for line in said.splitlines()):  # and not pytest itself
        return "noticed"
    print(f"{mutant.guard}: pytest ended with {code}\n{said[-2000:]}", file=sys.stderr)
    return "SURVIVED" if code == PASSED else "ERROR"


def outcome(tree: Path, tests: Sequence[str], limit_s: float = LIMIT_S) -> tuple[int, str]:
    """Exit code and words of pytest over some tests of a tree, whose own code is imported."""
    env = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    env.setdefault("CURATION_SHARED", str(ROOT.parent / "shared"))
    check = f"import curation, sys; sys.exit(not curation.__file__.startswith({str(tree)!r}))"
    subprocess.run([sys.executable, "-c", check], cwd=tree, env=env, check=True)
    how = ["-x", "-q", "-m", "", "-p", "no:cacheprovider", "--hypothesis-profile", "thorough", "--timeout", str(HANG_S)]
    command = [sys.executable, "-m", "pytest", *how, *tests]
    command = ["bash", "-c", f'ulimit -v {ROOM_BYTES >> 10}; exec "$@"', "bash", *command]
    try:
        done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return -1, f"no end within {limit_s:.0f} s"
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(main())
