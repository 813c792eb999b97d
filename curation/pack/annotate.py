"""Annotations of samples: functions found, allowed, and asked of each sample when it is packed."""

from __future__ import annotations

import ast
import copy
import dataclasses
import functools
import math
import sys
import threading
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError, CurationError, UnaskedCodeError
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.errors.words import did_you_mean
from curation.format.annotations import encoded
from curation.format.index import ArrayEntry
from curation.model import Location
from curation.pack.annotations import (
    captions,
    class_shares,
    classes_within,
    embedding,
    era5_monthly,
    refined_labels,
    region,
)
from curation.pack.subject import Counted, Gathered, Subject
from curation.recipe.annotations import Annotation
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset

Function = Callable[[Subject], Any]

BUILT_IN: Mapping[str, Function] = {
    "caption": captions.caption,
    "captions": captions.captions,
    "class_shares": class_shares.class_shares,
    "classes_within": classes_within.classes_within,
    "embedding": embedding.embedding,
    "era5_monthly": era5_monthly.era5_monthly,
    "refined_labels": refined_labels.refined_labels,
    "refined_names": refined_labels.refined_names,
    "region": region.region,
}
"""What a recipe may name without a file."""

GATHERED: Mapping[str, Callable[[Dataset, str, Catalogs, Sequence[Location]], Gathered]] = {
    "caption": captions.gather,
    "captions": captions.gather,
    "classes_within": classes_within.gather,
    "embedding": embedding.gather,
    "era5_monthly": era5_monthly.gather,
}
"""Of built-ins that are read for all samples at once: what reads them, given the recipe, the annotation's name, who is
asked, and the samples' locations."""

READS: Mapping[str, tuple[str, ...]] = {
    "captions": ("caption", "captions"),
    "embedding": ("embedding",),
    "points": ("classes_within",),
    "zarr": ("era5_monthly",),
}
"""Table of an annotation that says what is read for all samples at once → the built-ins that read it."""

CHECKS: Mapping[str, Callable[[Dataset, str, Catalogs], None]] = {
    "caption": captions.check,
    "captions": captions.check,
    "classes_within": classes_within.check,
    "embedding": embedding.check,
    "era5_monthly": era5_monthly.check,
    "refined_labels": refined_labels.check,
    "refined_names": refined_labels.check,
}
"""Of built-ins that want something of the recipe: what passes where it is so, asked with the annotation's name
and who is asked."""

LOOKS: Mapping[str, Callable[[Dataset, str, Catalogs], None]] = {"era5_monthly": era5_monthly.look}
"""Of built-ins that are read far away: what passes where it is as the recipe says, as far as is told without samples."""

ANYTHING = (Exception, SystemExit)
"""What code of a user may end in: one that would end the process, too, which is left to a person alone."""

_ABOUT = ("id", "lon", "lat", "epsg", "x0_m", "y0_m", "size_m", "region", "split", "parent", "columns")
"""Keys of `meta.json` that tell of the location."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An annotation that could not be made of a sample."""

    sample: str
    annotation: str
    function: str
    """As the recipe names it."""
    cause: str


class AnnotationError(CurationError):
    """Annotations of a shard's samples could not be made: it is not written, and packing again asks for them again."""

    code = Code.ANNOTATION_FAILED

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        first, more = self.failures[0], len(self.failures) - 1
        super().__init__(
            f"{self.code}: {first.function} of sample {first.sample} ([annotations.{first.annotation}]): {first.cause}"
            + (f"; and {more} more" if more else "")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.failures,)


@dataclass(frozen=True, slots=True)
class Annotated:
    """What was made of one sample."""

    members: dict[str, bytes] = field(default_factory=dict)
    """Suffix → payload; of what a function said None there is none."""
    columns: dict[str, str | float | None] = field(default_factory=dict)
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Annotation → name → numbers to be added up over samples, of those that count."""
    failures: list[Failure] = field(default_factory=list)


def check(dataset: Dataset, catalogs: Catalogs, *, run_code: bool) -> None:
    """Passes where each annotation of the recipe may be asked for. Executes nothing.

    Raises:
        UnaskedCodeError: a recipe names Python code, and `run_code` is not said.
        ConfigError: there is no such built-in, a file is no Python or does not define the function, or a name is an array's.
    """
    for name, its in dataset.annotations.items():
        where = f"{dataset.path}: [annotations.{name}] function = {its.label!r}"
        if any(name in arrays for level in dataset.levels for arrays in level.arrays.values()):
            raise ConfigError(f"{where}: {name!r} is the name of an array: call the annotation otherwise")
        for key, functions in READS.items():
            if getattr(its.spec, key) is not None and its.label not in functions:
                whose = " and ".join(map(repr, functions))
                raise ConfigError(f"{where}: [annotations.{name}.{key}] is for {whose} alone; leave it out")
        if not its.file:
            if its.called not in BUILT_IN:
                raise ConfigError(
                    f"{where}: no such built-in; {did_you_mean(its.called, BUILT_IN)}known: {', '.join(BUILT_IN)}; a "
                    "function of your own is named with its file, 'file.py:function'"
                )
            if its.called in CHECKS:
                CHECKS[its.called](dataset, name, catalogs)
            continue
        try:
            tree = ast.parse(its.source)
        except (SyntaxError, ValueError) as err:
            raise ConfigError(f"{where}: {its.file}: not Python: {one_line(err)}") from err
        known = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
        if its.called not in known:
            raise ConfigError(
                f"{where}: {its.file} defines no function {its.called!r}; {did_you_mean(its.called, known)}it defines: "
                f"{', '.join(known) or 'none'}"
            )
        if not run_code:
            raise UnaskedCodeError(
                f"{where}: {Code.CODE_UNASKED}: {its.file} (sha256 {its.sha256[:12]}…) is Python code that comes with the "
                "recipe, and packing would execute it: read it, and where you trust it say --run-code"
            )


def foreseen(dataset: Dataset, catalogs: Catalogs) -> list[str]:
    """Why packing would be refused, as files and stores now are, a line for each annotation. Executes nothing.

    Told when a build begins, which may take days, and no reason to end it: pixels are the same without.
    """
    lines = []
    for name, its in dataset.annotations.items():
        try:
            for asked in (CHECKS, LOOKS) if not its.file else ():
                if its.called in asked:
                    asked[its.called](dataset, name, catalogs)
        except CurationError as err:
            lines.append(f"annotation {name}: as things are, pack will refuse it: {one_line(err)}")
    return lines


def gather(dataset: Dataset, catalogs: Catalogs, places: Sequence[Location]) -> dict[str, Gathered]:
    """What is read for all samples at once, by annotation; the recipe has passed `check`.

    Args:
        dataset: the recipe.
        catalogs: who is asked.
        places: of the samples.

    Raises:
        ReadError: what it is read from cannot be read, or is not what the recipe says.
    """
    named = {n: its.called for n, its in dataset.annotations.items() if not its.file and its.called in GATHERED}
    return {name: GATHERED[called](dataset, name, catalogs, places) for name, called in named.items()}


def annotate(
    dataset: Dataset,
    meta: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    entries: Mapping[str, ArrayEntry],
    label_names: Sequence[str],
    gathered: Mapping[str, Any] | None = None,
) -> Annotated:
    """What the recipe's annotations are of one sample. Whatever a function raises is a failure, and no hole.

    Args:
        dataset: the recipe; its code has been allowed (`check`).
        meta: the sample's `meta.json`.
        arrays: suffix without encoding → pixels as stored.
        entries: what the index says of arrays.
        label_names: of the labels.
        gathered: annotation → what was read for it of this sample, of those that are read for all at once.
    """
    made = Annotated()
    for name, its in dataset.annotations.items():
        entry = its.spec.entry
        try:
            # Each has a copy of its own: what one changes in it is neither written nor seen by the next.
            subject = _subject(dataset, meta, arrays, entries, label_names)
            read = copy.deepcopy((gathered or {}).get(name))
            beside = b"" if its.file else its.source
            value = _function(its)(dataclasses.replace(subject, gathered=read, beside=beside))
            if isinstance(value, Counted):
                made.counts[name] = {k: np.asarray(n).tolist() for k, n in value.counts.items()}
                value = value.value
            data = None if value is None else encoded(entry, value)
        except ANYTHING as err:  # it is recorded, and nothing is written
            made.failures.append(Failure(str(meta["id"]), name, its.label, one_line(err)))
            continue
        if its.spec.column:
            unknown = value is None or (entry.kind == "numbers" and math.isnan(float(value)))
            made.columns[name] = None if unknown else value if entry.kind == "text" else float(value)
        elif data is not None:
            made.members[f"{name}.{entry.encoding}"] = data
    return made


def _subject(
    dataset: Dataset,
    meta: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    entries: Mapping[str, ArrayEntry],
    label_names: Sequence[str],
) -> Subject:
    own = copy.deepcopy(dict(meta))
    return Subject(
        key=own["id"],
        location={k: own[k] for k in _ABOUT if k in own},
        static=own["static"],
        seasons=own["seasons"],
        children=tuple(own.get("children", ())),
        label_names=tuple(label_names),
        arrays=types.MappingProxyType({n: _unwritable(a) for n, a in arrays.items()}),
        entries=types.MappingProxyType(dict(entries)),
        season_names=tuple(dataset.season_names()),
        legends=_legends(dataset),
        rules=dataset.recipe.labels,
    )


def _legends(dataset: Dataset) -> Mapping[str, Mapping[int, str]]:
    """Array of a class map → code → label."""
    return {
        name: {c.code: c.label or c.name for c in spec.kind.legend}
        for level in dataset.levels
        for spec in level.specs.values()
        if spec.kind.legend
        for name in level.arrays[spec.name]
    }


def add_up(counts: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Annotation → name → numbers, added up over samples, or over shards."""
    out: dict[str, dict[str, Any]] = {}
    for one in counts:
        for name, its in one.items():
            have = out.setdefault(name, {})
            have |= {k: (np.asarray(n) + np.asarray(have.get(k, 0))).tolist() for k, n in its.items()}
    return out


def _unwritable(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _function(its: Annotation) -> Function:
    if not its.file:
        return BUILT_IN[its.called]
    with _lock:  # threads of a worker execute a file once
        module = module_of(its.file, its.source, its.sha256)
    if isinstance(module, BaseException):
        raise module
    return cast(Function, getattr(module, its.called))


_lock = threading.Lock()


@functools.lru_cache(maxsize=64)
def module_of(file: str, source: bytes, sha256: str) -> types.ModuleType | BaseException:
    """The module that a file's bytes, as they were hashed, make, or what they raise; executed once per process."""
    module = types.ModuleType(f"curation_annotation_{sha256[:16]}")
    module.__file__ = file
    sys.modules[module.__name__] = module  # dataclasses look there for their own module
    try:
        exec(compile(source, file, "exec"), module.__dict__)
    except ANYTHING as err:  # each sample that wants it is told so
        del sys.modules[module.__name__]
        return err
    return module
