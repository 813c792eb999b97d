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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("curation", "tests", "stac_queries", "manifests", "shards/README.md", "pyproject.toml", "README.md", "LICENSE")
"""What tests need of the tree."""
LIMIT_S = 900
"""Seconds that the tests of one guard may take; one that hangs without its guard has noticed, but not said so."""
PASSED, FAILED = 0, 1
"""What pytest ends with; all else (nothing collected, a usage error) says nothing of a guard."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard, how it is removed, and who must notice."""

    guard: str
    """What it guards against, in a few words."""
    file: str
    """Below the tree."""
    find: str
    """Its text, which is there exactly once."""
    replacement: str
    """What stands there without it."""
    tests: tuple[str, ...]
    """Node ids, of which at least one must fail."""


TABLE = (
    Mutant(
        "a server that ignores If-Match does not mix two contents",
        "curation/read/ranges.py",
        "    if version and mark != version:\n        raise ChangedError(_CHANGED)\n    return Answer(data, size, mark)",
        "    return Answer(data, size, mark)",
        ("tests/read/test_changed.py::test_a_server_that_ignores_if_match_and_gives_another_content_is_noticed",),
    ),
    Mutant(
        "kept pixels are those recorded",
        "curation/build.py",
        "            if slot not in stored or cube.chunk_hash(stored[slot]) != expected:",
        "            if slot not in stored:",
        ("tests/test_kept.py::test_pixels_that_decode_and_are_others_are_damage",),
    ),
    Mutant(
        "kept facts are those recorded",
        "curation/build.py",
        "here.proven_facts(job.store, job.prior, ids)",
        "here.read_facts(job.store, job.slab, len(ids))",
        ("tests/test_kept.py::test_facts_that_decode_and_are_others_are_damage",),
    ),
    Mutant(
        "facts that are read are those recorded",
        "curation/cube.py",
        "        if wrong:\n            keys",
        "        if False:\n            keys",
        ("tests/test_kept.py::test_damage_in_facts_is_not_made_official_by_a_build_of_more_patches",),
    ),
    Mutant(
        "a row's hash is of all its facts",
        "curation/cube.py",
        "for f in self.facts]\n        return [xxhash",
        "for f in self.facts[:5]]\n        return [xxhash",
        ("tests/test_cube.py::test_a_row_s_hash_is_of_its_values_alone_and_of_all_of_them",),
    ),
    Mutant(
        "pixels that are read are those recorded",
        "curation/cube.py",
        "if (found := chunk_hash(chunk)) != expected:",
        'if (found := "") != "":',
        ("tests/test_cube.py::test_a_chunk_that_is_not_what_was_committed_is_refused",),
    ),
    Mutant(
        "chunks of pixels and numbers end with a checksum",
        "curation/cube.py",
        'shuffle="bitshuffle"), Crc32cCodec()',
        'shuffle="bitshuffle"),',
        ("tests/test_cube.py::test_every_array_of_a_cube_ends_its_chunks_with_a_checksum",),
    ),
    Mutant(
        "chunks of text end with a checksum",
        "curation/cube.py",
        "return ZstdCodec(), Crc32cCodec()",
        "return (ZstdCodec(),)",
        ("tests/test_cube.py::test_every_array_of_a_cube_ends_its_chunks_with_a_checksum",),
    ),
    Mutant(
        "a ledger in another format is refused",
        "curation/ledger.py",
        'first.get("format", 1)) != FORMAT:',
        'first.get("format", 1)) != first.get("format", 1):',
        ("tests/test_ledger.py::test_a_ledger_in_another_format_is_refused_by_name_with_what_to_do",),
    ),
    Mutant(
        "a lost ledger line is seen",
        "curation/ledger.py",
        'if not data.endswith(b"\\n") or counted != len(records) or digest != found:',
        'if not data.endswith(b"\\n"):',
        ("tests/test_ledger.py::test_every_single_lost_line_is_seen",),
    ),
    Mutant(
        "a replaced ledger segment is seen",
        "curation/ledger.py",
        'if first["segment"] != number or first["prev"] != self.head:',
        "if False:",
        ("tests/test_ledger.py::test_a_segment_of_another_history_is_seen",),
    ),
    Mutant(
        "a segment that changes while it is used is seen",
        "curation/ledger.py",
        "if hashlib.sha256(data).digest() != self.heads[number]:",
        "if False:",
        ("tests/test_ledger.py::test_records_are_read_again_however_many_there_are_and_a_change_meanwhile_is_seen",),
    ),
    Mutant(
        "a ledger bound to another recipe is refused",
        "curation/ledger.py",
        "            if old != new:",
        "            if False:",
        ("tests/test_pipeline.py::test_another_recipe_is_refused_with_both_values",),
    ),
    Mutant(
        "the index of a Zarr shard is what was written",
        "curation/zarrshard.py",
        ' or struct.unpack("<I", crc)[0] != google_crc32c.value(packed):',
        ":",
        ("tests/test_zarrshard.py::test_a_flipped_byte_of_the_index_is_damage",),
    ),
    Mutant(
        "verify reads each chunk",
        "curation/verify.py",
        "elif slot not in chunks or chunk_hash(chunks[slot]) != outcome.chunks[name]:",
        "elif slot not in chunks:",
        ("tests/test_verify.py::test_a_chunk_swapped_within_its_shard",),
    ),
    Mutant(
        "verify proves each row of facts",
        "curation/verify.py",
        "if o.id in settled and hashes[o.id] != o.facts}",
        "if False}",
        ("tests/test_kept.py::test_damage_in_facts_is_not_made_official_by_a_build_of_more_patches",),
    ),
    Mutant(
        "verify compares each object with its digest",
        "curation/verify.py",
        "return len(data) == item.size and hashlib.sha256(data).hexdigest() == item.sha256",
        "return len(data) == item.size",
        ("tests/test_verify.py::test_a_flipped_byte_in_a_zarr_object",),
    ),
    Mutant(
        "a place whose scene cannot be read is not told to have none",
        "curation/candidates.py",
        "            out[place.id] = lost or Candidates(",
        "            out[place.id] = Candidates(",
        (
            "tests/search/test_unreadable.py::test_a_place_whose_only_scene_cannot_be_read_fails_with_that_and_is_tried_again",
        ),
    ),
    Mutant(
        "a DEM that cannot be read is not sea",
        "curation/build.py",
        "if spec.hole_value is None or mine.status is Status.FAILED:",
        "if spec.hole_value is None:",
        ("tests/search/test_unreadable.py::test_a_dem_that_cannot_be_read_is_not_told_as_sea",),
    ),
    Mutant(
        "a search that met unreadable items is made again",
        "curation/search/saved.py",
        " | ({_UNREADABLE: len(found.unreadable)} if found.unreadable else {})",
        "",
        (
            "tests/search/test_unreadable.py::test_a_place_whose_only_scene_cannot_be_read_fails_with_that_and_is_tried_again",
        ),
    ),
    Mutant(
        "a catalog that cannot be read ends the command with 1",
        "curation/cli.py",
        "FAILED if failed or unreadable else OK",
        "FAILED if failed else OK",
        (
            "tests/search/test_unreadable.py::test_a_catalog_of_which_much_cannot_be_read_ends_with_1_though_nothing_failed",
        ),
    ),
    Mutant(
        "what a task wrote is what is stored",
        "curation/pipeline.py",
        " or stat.etag != receipt.etags[stored.key]:",
        ":",
        ("tests/test_pipeline.py::test_a_task_that_another_writer_overtook_is_not_recorded_as_done",),
    ),
)


def main() -> int:
    """0 where every guard is noticed to be gone; the table is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only guards whose name or file holds one of these")
    words = parser.parse_args().words
    chosen = [m for m in TABLE if not words or any(w in f"{m.guard} {m.file}" for w in words)]
    if not chosen:
        parser.error(f"no guard of the table holds any of {words}")
    with tempfile.TemporaryDirectory(prefix="curation-mutants-") as folder:
        tree = Path(folder) / "tree"
        copied(tree)
        code, said = outcome(tree, sorted({t for m in chosen for t in m.tests}))
        if code != PASSED:
            print(
                f"{said}\nerror: the tests named do not pass as the code stands, so that they prove nothing of a guard"
            )
            return 1
        results = [(m, tried(tree, m)) for m in chosen]
    width = max(len(m.guard) for m in chosen)
    for m, result in results:
        print(f"{result:<13} {m.guard:<{width}}  {m.file}  {' '.join(m.tests)}")
    wrong = sum(result != "noticed" for _, result in results)
    print(f"{len(results)} guards removed: {len(results) - wrong} noticed, {wrong} not")
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


def tried(tree: Path, mutant: Mutant) -> str:
    """`noticed`, `SURVIVED`, `NOT APPLIED` or `ERROR` (the tests did not run to their end)."""
    path = tree / mutant.file
    whole = path.read_text()
    if whole.count(mutant.find) != 1:
        return "NOT APPLIED"
    path.write_text(whole.replace(mutant.find, mutant.replacement))
    try:
        compile(path.read_text(), mutant.file, "exec")
        code, said = outcome(tree, mutant.tests)
    finally:
        path.write_text(whole)
    if code == FAILED:
        return "noticed"
    print(f"{mutant.guard}: pytest ended with {code}\n{said}", file=sys.stderr)
    return "SURVIVED" if code == PASSED else "ERROR"


def outcome(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit code and last words of pytest over some tests of a tree, whose own code is imported."""
    env = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    env.setdefault("CURATION_SHARED", str(ROOT.parent / "shared"))
    check = f"import curation, sys; sys.exit(not curation.__file__.startswith({str(tree)!r}))"
    subprocess.run([sys.executable, "-c", check], cwd=tree, env=env, check=True)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return -1, f"no end within {LIMIT_S} s"
    return done.returncode, done.stdout[-2000:]


if __name__ == "__main__":
    sys.exit(main())
