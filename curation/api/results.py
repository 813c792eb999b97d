"""What the steps return: what the command prints, as text, for rich and as HTML, with the values behind it."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from curation.errors import CurationError, DamageError
from curation.errors.printable import printable
from curation.errors.words import counted
from curation.pack import split as splits
from curation.pack.pack import PackedShards
from curation.pipeline import Built
from curation.recipe.access import BucketAccess
from curation.recipe.catalogs import Catalog, Catalogs, CatalogSpec
from curation.recipe.dataset import Dataset
from curation.recipe.sources import SourceSpec
from curation.report.estimate import Estimates
from curation.verify.found import Verified

MOST_LISTED = 5
"""So many causes of failures, and faults in an error, are told; a result, and the ledger, have all."""

Rows = Sequence[tuple[str, ...]]
"""A table for a person: its head, then its lines. None: no table."""


class Result(ABC):
    """What a step came to: in a notebook HTML, for rich a table, and as `str` what the command prints."""

    @property
    def ok(self) -> bool:
        """Whether nothing failed, is damaged or unfinished: the command's exit code 0."""
        return self.error() is None

    def error(self) -> CurationError | None:
        """What the step raises where it is not ok; None where it is."""
        return None

    def raise_for_error(self) -> None:
        """Passes where the step is ok.

        Raises:
            CurationError: it is not; the error's `result` is this.
        """
        if (err := self.error()) is not None:
            err.result = self
            raise err

    @abstractmethod
    def notes(self) -> list[str]:
        """What is said beside the table."""

    def rows(self) -> Rows:
        """The table that a notebook and rich show."""
        return ()

    def lines(self) -> list[str]:
        """All that the command prints."""
        return self.notes()

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__

    def __rich__(self) -> Group:
        rows = self.rows()
        table = Table()
        for head in rows[0] if rows else ():
            table.add_column(Text(head))
        for row in rows[1:]:
            table.add_row(*map(Text, row))
        return Group(*([table] if rows else ()), *map(Text, self.notes()))

    def _repr_html_(self) -> str:
        def line(cells: tuple[str, ...], tag: str) -> str:
            return f"<tr>{''.join(f'<{tag}>{html.escape(c)}</{tag}>' for c in cells)}</tr>"

        rows = self.rows()
        table = "".join(line(r, "td" if n else "th") for n, r in enumerate(rows))
        return (f"<table>{table}</table>" if rows else "") + "".join(f"<p>{html.escape(n)}</p>" for n in self.notes())


@dataclass(frozen=True, slots=True, repr=False)
class BuildResult(Result):
    """What building came to."""

    cubes: tuple[Built, ...]
    ledger: str
    """Where what happened to each patch is recorded."""
    catalog: str
    """As a person names it; where there are several, with the sources that each is asked for."""
    special: tuple[str, ...] = ()
    """What is to be said of the regions and of a file of places."""

    @property
    def counts(self) -> Counter[str]:
        """Reason → patches of those asked for, of all cubes."""
        return sum((b.counts for b in self.cubes), Counter())

    @property
    def failed(self) -> int:
        """Patches that failed: a rerun tries them again."""
        return sum(b.failed for b in self.cubes)

    @property
    def causes(self) -> Counter[str]:
        """Why patches failed → how many did for that."""
        return sum((b.causes for b in self.cubes), Counter())

    @property
    def unreadable(self) -> str:
        """What is wrong with catalogs of which too many items could not be read."""
        return next((b.unreadable for b in self.cubes if b.unreadable), "")

    @property
    def damaged(self) -> str:
        """What is not what earlier runs recorded of it."""
        return next((b.damaged for b in self.cubes if b.damaged), "")

    def error(self) -> CurationError | None:
        """Patches that failed, and why; a catalog of which too much cannot be read; or what is damaged."""
        said = " ".join([*self._failures(), *filter(None, [self.unreadable, self.damaged])])
        return CurationError(said) if said else None

    def rows(self) -> Rows:
        """A line per cube, a column per reason."""
        reasons = [reason for reason, _ in self.counts.most_common()]
        body = [(f"{b.region}/{b.season}", *(str(b.counts[r] or "") for r in reasons)) for b in self.cubes]
        return [("cube", *reasons), *body]

    def lines(self) -> list[str]:
        """The counts of each cube, and what they come to."""
        return [f"{b.region}/{b.season}: {_listed(b.counts)}" for b in self.cubes] + self.notes()

    def notes(self) -> list[str]:
        """What was built, passed over and kept, what failed and why."""
        fresh, seconds = sum(b.built for b in self.cubes), sum(b.seconds for b in self.cubes)
        memory = max(b.worker_bytes for b in self.cubes) / 2**20
        out = [
            f"built {counted(fresh, 'patch')} in {seconds:.0f} worker seconds; a worker's highest memory {memory:.0f} MiB"
            if fresh
            else "nothing to build: all is there in the size recorded; `curate verify` reads the bytes, too",
            f"all: {_listed(self.counts)}",
        ]
        if passed := sum(b.passed_over for b in self.cubes):
            out.append(
                f"{counted(passed, 'patch')} passed over scenes that cannot be read; the ledger has their ids and causes"
            )
        if excluded := sum(b.excluded for b in self.cubes):
            out.append(
                f"{counted(excluded, 'patch')} built before with scenes that the recipe now excludes; they stay in"
            )
        return [*out, *self.special, *self._failures()]

    def _failures(self) -> list[str]:
        if not self.failed:
            return []
        causes = self.causes.most_common()
        first_few = [f"{counted(n, 'patch')}: {printable(cause)}" for cause, n in causes[:MOST_LISTED]]
        more = [f"and {counted(len(causes) - MOST_LISTED, 'other cause')}"] if len(causes) > MOST_LISTED else []
        what = f"{counted(self.failed, 'patch')} failed; the ledger has why: {self.ledger}. Run the same command again."
        return [what, *first_few, *more]


@dataclass(frozen=True, slots=True, repr=False)
class EstimateResult(Result):
    """What a build would search, read and write."""

    estimates: Estimates
    special: tuple[str, ...] = ()

    def rows(self) -> Rows:
        """A line per cube, and what they come to."""
        return self.estimates.table()

    def lines(self) -> list[str]:
        """The table, aligned, and what is to be said of it."""
        return _aligned(self.rows(), numbers=True) + self.notes()

    def notes(self) -> list[str]:
        """How far the dataset is, and what an estimate is."""
        return [*self.estimates.notes, *self.special]


@dataclass(frozen=True, slots=True, repr=False)
class OffersResult(Result):
    """Which catalog offers which source, and what lets one in."""

    offers: Mapping[str, Mapping[str, str]]
    """Source → catalog → its collection there, and how that is marked; empty where it does not offer it."""
    access: Mapping[str, str]
    """Catalog → what lets one in where its files lie, and whether that is set here."""

    @classmethod
    def of(
        cls, dataset: Dataset, asked: Catalogs, every: Sequence[Catalog], unnamed: Mapping[str, CatalogSpec]
    ) -> OffersResult:
        """Of catalogs; those that are asked for a source are marked there.

        Of those that a flag names (`unnamed`) are shown that the recipe names, for what nobody else is asked for.
        """

        def offer(spec: SourceSpec, catalog: Catalog) -> str:
            form = catalog.form_of(spec)
            return "" if form is None else form.what + ASKED * (asked.of(spec.name) == catalog)

        offers = {n: {c.label: offer(spec, c) for c in every} for n, spec in dataset.specs.items()}
        access = {c.label: _access(dataset, c) for c in every}
        for label, row in unnamed.items():
            its = {n for n, use in dataset.recipe.sources.items() if use.catalog == label}
            if lacking := {n for n in its if asked.form_of(dataset.specs[n]) is None}:
                access[label] = f"whom {row.named_by} names: {row.title}"
                for name, by in offers.items():
                    by[label] = row.named_by if name in lacking else ""
        return cls(offers, access)

    def rows(self) -> Rows:
        """A line per source, a column per catalog."""
        names = list(self.access)
        body = [(source, *(its[n] or "-" for n in names)) for source, its in self.offers.items()]
        return [("source", *names), *body]

    def lines(self) -> list[str]:
        """The table, aligned, and what is to be said of it."""
        return [*_aligned(self.rows()), *self.notes()]

    def notes(self) -> list[str]:
        """What lets one in at each catalog."""
        marks = any(what.endswith(ASKED) for of in self.offers.values() for what in of.values())
        mark = [f"{ASKED.strip()} is asked for it"] if marks else []
        return [*mark, *(f"{name}: {said}" for name, said in self.access.items())]


@dataclass(frozen=True, slots=True, repr=False)
class CheckResult(Result):
    """What one item and one patch say of a source."""

    found: tuple[str, ...]
    wrong: tuple[str, ...]
    """What is wrong, and what to do."""

    def error(self) -> CurationError | None:
        """What is wrong."""
        said = "; ".join(self.wrong[:MOST_LISTED])
        return CurationError(f"{counted(len(self.wrong), 'fault')}: {said}") if self.wrong else None

    def notes(self) -> list[str]:
        """What stands in source, item and files, and each fault."""
        ends = [f"WRONG {fault}" for fault in self.wrong] or ["nothing is wrong with what was looked at"]
        return [printable(line) for line in (*self.found, *ends)]


ASKED = " *"

OPEN = "nothing that is known here: https is read without a login, buckets with the keys that the environment has"
"""Of a catalog that states nothing of what lets one in."""


def _access(dataset: Dataset, catalog: Catalog) -> str:
    """What lets one in where files of a catalog's lie, of the recipe's sources that it offers."""
    offered = [spec for spec in dataset.specs.values() if catalog.form_of(spec) is not None]
    every = dict.fromkeys(a for spec in offered for a in catalog.access_of(spec).values())
    if not offered:
        return "offers nothing of this recipe"
    if not every:
        signed = any(f is not None and f.sign != "none" for f in map(catalog.form_of, offered)) and not catalog.own
        if catalog.served_url:
            return "no account; this machine serves it to itself"
        return "no account; hrefs are signed" if signed else OPEN
    needs = ", ".join(a.needs for a in every)
    missing = list(dict.fromkeys(name for access in every for name in access.missing()))
    if missing:
        return f"{needs}: not set here: {', '.join(missing)}"
    return needs if all(isinstance(a, BucketAccess) and a.unsigned for a in every) else f"{needs}: set here"


def _aligned(rows: Rows, *, numbers: bool = False) -> list[str]:
    """Rows as lines, the columns as wide as what is in them; of numbers all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = (
        [c.rjust(w) if numbers and i else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))]
        for r in rows
    )
    return ["  ".join(row).rstrip() for row in cells]


@dataclass(frozen=True, slots=True, repr=False)
class LocateResult(Result):
    """The locations that were drawn."""

    counts: Mapping[str, Mapping[str, int]]
    """Folder of cubes → planned split → locations."""
    where: str
    special: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """A line per region."""
        out = []
        for region, sides in self.counts.items():
            out.append(f"{region}: {counted(sum(sides.values()), 'location')} ({splits.counts(sides)})")
        out.append("The split is planned: it is made when shards are packed.")
        return [*out, *self.special, f"written below {self.where}"]


@dataclass(frozen=True, slots=True, repr=False)
class LabelsResult(Result):
    """What importing labels came to."""

    summary: tuple[str, ...]
    where: str

    def notes(self) -> list[str]:
        """What share of patches can be labelled, which rows are of none, and where it lies."""
        return [*self.summary, f"kept below {self.where}"]


@dataclass(frozen=True, slots=True, repr=False)
class MapsResult(Result):
    """What making class maps came to, whose labels are then the dataset's; or what that would be."""

    counts: Counter[str]
    """Outcome → maps, earlier runs' included; empty where nothing was to be made but told."""
    summary: tuple[str, ...]
    where: str
    """Where the maps lie."""
    causes: str
    """Why maps failed."""

    @property
    def failed(self) -> int:
        """Maps that failed: a rerun tries them again."""
        return sum(n for label, n in self.counts.items() if label.startswith("failed"))

    def error(self) -> CurationError | None:
        """Maps that failed, and why."""
        if not self.failed:
            return None
        return CurationError(
            f"{counted(self.failed, 'map')} failed ({self.causes}); labels of these are unknown meanwhile. Run the same "
            "command again, which makes those alone; then pack"
        )

    def notes(self) -> list[str]:
        """What became of the maps, what share of patches they can label, and where they lie."""
        if not self.where:
            return list(self.summary)
        return [f"maps: {_listed(self.counts)}", *self.summary, f"maps are kept below {self.where}"]


@dataclass(frozen=True, slots=True, repr=False)
class PackResult(Result):
    """What packing came to."""

    packed: PackedShards
    special: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """Samples, shards, what was dropped, what the split's sides share."""
        return [*self.packed.summary().splitlines(), *self.special]


@dataclass(frozen=True, slots=True, repr=False)
class VerifyResult(Result):
    """What was proven, and what was not."""

    found: Verified

    def error(self) -> CurationError | None:
        """Damage; or what a stopped command left."""
        faults, unfinished = self.found.faults, self.found.unfinished
        first_few = "; ".join((faults or unfinished)[:MOST_LISTED])
        if faults:
            return DamageError(f"{counted(len(faults), 'fault')}: {first_few}")
        return CurationError(f"unfinished: {first_few}") if unfinished else None

    def rows(self) -> Rows:
        """A line per fault, and per thing unfinished."""
        body = [*(("FAULT", f) for f in self.found.faults), *(("unfinished", u) for u in self.found.unfinished)]
        return [("", "what, and where"), *body] if body else ()

    def lines(self) -> list[str]:
        """Each fault, and what was proven."""
        found = self.found
        return [*(f"FAULT {f}" for f in found.faults), *(f"unfinished: {u}" for u in found.unfinished), *self.notes()]

    def notes(self) -> list[str]:
        """What was proven, and what to do of damage."""
        advice = (
            "Damaged shards are made again by `curate pack`. A damaged cube is made again after deleting both "
            "cubes/<region>/<season>.zarr and ledger/<region>/<season>."
        )
        return [self.found.summary(), *([advice] if self.found.faults else [])]


@dataclass(frozen=True, slots=True, repr=False)
class ReportResult(Result):
    """A page that was written; a notebook shows it."""

    where: str
    page: str
    """HTML."""

    def notes(self) -> list[str]:
        """Where it is."""
        return [self.where]

    def _repr_html_(self) -> str:
        framed = f'<iframe sandbox width="100%" height="800" srcdoc="{html.escape(self.page)}"></iframe>'
        return f"<p>{html.escape(self.where)}</p>{framed}"


@dataclass(frozen=True, slots=True, repr=False)
class ShowResult(Result):
    """A picture that was written; a notebook shows it."""

    where: str
    png: bytes
    damage: tuple[str, ...]
    """What of the patch is not as its ledger recorded it; the picture says so in its place."""

    def error(self) -> CurationError | None:
        """Damage."""
        return DamageError("; ".join(self.damage)) if self.damage else None

    def notes(self) -> list[str]:
        """Where it is."""
        return [self.where]

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html.escape(n)}</p>" for n in (*self.damage, *self.notes()))
        return f'<img src="data:image/png;base64,{b64encode(self.png).decode()}">{notes}'


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in counts.most_common())
