"""What an installation takes on a disk, by distribution: `python -m tests.benchmarks.sizes`.

Counts the files of all distributions that curation asks for, directly or not, as they are installed here; torch and what
torch alone brings are left out, since every machine that trains has it.
"""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
BLOCK = 512
"""What `st_blocks` counts in, whatever the file system's own (POSIX)."""
MIB = 1 << 20
LEFT_OUT = {"torch"}


def closure(requirements: Iterable[str]) -> set[str]:
    """Names of all distributions that requirements ask for, directly or not."""
    found: set[str] = set()
    todo = [(Requirement(text), frozenset({""})) for text in requirements]
    while todo:
        its, extras = todo.pop()
        name = canonicalize_name(its.name)
        if name in LEFT_OUT or (its.marker and not any(its.marker.evaluate({"extra": extra}) for extra in extras)):
            continue
        key = f"{name}[{','.join(sorted(its.extras))}]"
        if key in found:
            continue
        found.add(key)
        wanted = frozenset({"", *its.extras})
        todo += [(Requirement(text), wanted) for text in metadata.requires(name) or ()]
    return {key.partition("[")[0] for key in found}


def size_bytes(name: str) -> int:
    """Blocks of all files of a distribution; of one that is not installed an error."""
    files = (Path(str(f.locate())) for f in metadata.files(name) or ())
    return sum(path.stat().st_blocks * BLOCK for path in files if path.is_file())


def main() -> None:
    """Prints what curation takes, with each of its extras, and the largest distributions of it."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.sizes", description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=10, help="how many distributions are named (10)")
    args = parser.parse_args()
    project = tomllib.loads(PROJECT.read_text())["project"]
    needed = closure(project["dependencies"])
    sizes = {name: size_bytes(name) for name in needed}
    print(f"curation: {len(sizes)} distributions, {sum(sizes.values()) / MIB:.0f} MiB")
    for extra in ("earth", "dashboard"):
        more = closure([*project["dependencies"], *project["optional-dependencies"][extra]]) - needed
        print(f"  [{extra}]: {len(more)} more, {sum(map(size_bytes, more)) / MIB:.0f} MiB")
    for name, size in sorted(sizes.items(), key=lambda kv: -kv[1])[: args.largest]:
        print(f"  {name:<24} {size / MIB:6.0f} MiB")


if __name__ == "__main__":
    main()
