"""Features by a function of the user's own, which is executed where that is asked for, and never else."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import ConfigError, ReadError, UnaskedCodeError
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.errors.words import did_you_mean
from curation.format.index import ArrayEntry
from curation.pack.annotate import ANYTHING, module_of
from curation.recipe import files
from curation.store import local
from curation.worth.features.patches import FeaturePatch
from curation.worth.features.table import Vectors

FILES = "FILES"
"""A list of file names that a module may have, beside it: what its numbers follow from, too, such as weights."""

FORM = re.compile(r"(.+\.py):([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(slots=True)
class OwnFunction:
    """`file.py:function`: given array → (n, band, y, x) float32, NaN where there is no data, it gives (n, D).

    Pixels are in the array's quantity: reflectance, dB.
    """

    file: str
    called: str
    source: bytes
    beside: Mapping[str, str] = field(default_factory=dict)
    """What else its numbers follow from: packages that the file imports → version, modules and `FILES` → SHA-256."""
    arrays: Mapping[str, ArrayEntry] = field(default_factory=dict)
    _count: int = 0

    @property
    def name(self) -> str:
        """The function's."""
        return self.called.lower()

    @property
    def settings(self) -> Any:
        """The function, the hash of the file that it stands in, and what that imports and names."""
        return {"function": self.called, "sha256": self.sha256, "beside": dict(self.beside)}

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.source).hexdigest()

    def prepared(self, arrays: Mapping[str, ArrayEntry]) -> OwnFunction:
        """Any arrays do; the function says what it wants."""
        return replace(self, arrays=dict(arrays))

    def names(self) -> tuple[str, ...]:
        """One for each number that it gave, `<function>000` and so on."""
        return tuple(f"{self.name}{n:03d}" for n in range(self._count))

    def vectors(self, patches: Sequence[FeaturePatch]) -> Vectors:
        """What the function gives of some patches.

        Raises:
            ReadError: it raised, or gave no (n, D) of finite numbers, as many as before.
        """
        asked = {n: np.stack([p.pixels[n] for p in patches]) for n in self.arrays}
        where = f"{self.file}:{self.called}"
        try:
            found = np.asarray(self._function()(asked), np.float32)
        except ANYTHING as err:
            raise ReadError(f"{where}: {one_line(err)}") from err
        if (
            found.ndim != 2
            or not found.shape[1]
            or len(found) != len(patches)
            or (self._count and found.shape[1] != self._count)
        ):
            wide = self._count or "D"
            raise ReadError(f"{where}: gave {found.shape}, expected ({len(patches)}, {wide}): a row per patch")
        if not np.isfinite(found).all():
            raise ReadError(f"{where}: gave NaN or infinity of a patch, expected finite numbers")
        self._count = found.shape[1]
        return found

    def _function(self) -> Callable[[Any], Any]:
        module = module_of(self.file, self.source, self.sha256)
        if isinstance(module, BaseException):
            raise module
        function: Callable[[Any], Any] = getattr(module, self.called)
        return function


def read(text: str, *, run_code: bool) -> OwnFunction:
    """The function that `file.py:function` names. Nothing is executed yet.

    Raises:
        UnaskedCodeError: `run_code` is not said.
        ConfigError: there is no such file, it is no Python, or has no such function.
    """
    found = FORM.fullmatch(text)
    assert found is not None  # whoever asks has looked
    path, called = Path(found[1]), found[2]
    if not path.is_file():
        raise ConfigError(f"--with {text}: no file {path}")
    source = local.content(path)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as err:
        raise ConfigError(f"--with {text}: {path}: not Python: {one_line(err)}") from err
    known = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
    if called not in known:
        raise ConfigError(f"--with {text}: {did_you_mean(called, known)}{path} defines: {', '.join(known) or 'none'}")
    its = OwnFunction(str(path), called, source, {**_imported(tree), **_named(tree, path, f"--with {text}")})
    if not run_code:
        raise UnaskedCodeError(
            f"--with {text}: {Code.CODE_UNASKED}: {path} (sha256 {its.sha256[:12]}…) would be executed: read it, and where "
            "you trust it say --run-code"
        )
    return its


def _imported(tree: ast.Module) -> dict[str, str]:
    """What a module imports beside Python's own → versions, or the hash of what is of no package. Nothing is executed."""
    names = {n.split(".")[0] for node in ast.walk(tree) for n in _names(node)} - set(sys.stdlib_module_names)
    of_packages = importlib.metadata.packages_distributions() if names else {}
    return {n: _version(of_packages.get(n, [])) or _sources(n) for n in sorted(names)}


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


def _version(packages: Sequence[str]) -> str:
    return ", ".join(f"{p} {importlib.metadata.version(p)}" for p in sorted(set(packages)))


def _sources(name: str) -> str:
    """The hash of a module's files; empty where there is none such."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return ""
    its = [Path(spec.origin)]
    for folder in spec.submodule_search_locations or ():
        its = sorted(Path(folder).rglob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in its)).hexdigest()


def _assigned(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [ast.unparse(t) for t in node.targets]
    return [ast.unparse(node.target)] if isinstance(node, ast.AnnAssign) else []


def _named(tree: ast.Module, path: Path, where: str) -> dict[str, str]:
    """The hash of each of the `FILES` of a module.

    Raises:
        ConfigError: it names one that is not there, or is no list of names.
    """
    said = [n.value for n in tree.body if FILES in _assigned(n)]  # type: ignore[attr-defined]  # an assignment, then
    try:
        names = [str(name) for value in said for name in ast.literal_eval(value)]
    except (ValueError, TypeError) as err:
        raise ConfigError(f"{where}: {path}: {FILES}: expected a list of file names, written out") from err
    its = {name: path.parent / name for name in names}
    if lacks := [str(file) for file in its.values() if not file.is_file()]:
        raise ConfigError(f"{where}: {path}: {FILES} names {lacks[0]}: no such file")
    return {name: files.sha256_of(file) for name, file in its.items()}
