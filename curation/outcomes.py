"""What became of a patch. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from curation.errors.codes import Code


class Status(IntEnum):
    """What became of a source of a patch, or of the patch. The numbers are flag values in the cube: never renumber."""

    PENDING = 0
    OK = 1
    REJECTED = 2
    FAILED = 3
    ABSENT = 4


PENDING = "pending"
"""What counts call a patch of which nothing is recorded."""

SLAB = "slab"
"""What stands among a patch's sources where its whole slab failed, with the cause; its sources are then `upstream`."""

SETTLED = (Status.OK, Status.REJECTED, Status.ABSENT)
"""A patch that ended so is not looked at again; one that failed is."""


class Reject(Exception):  # noqa: N818 - it is an expected outcome, not an error
    """An expected refusal of one source of one patch, with the value that decided it."""

    def __init__(
        self, code: Code, value: float | None = None, *, status: Status = Status.REJECTED, cause: str | None = None
    ) -> None:
        super().__init__(code, value)
        self.code = code
        self.value = value
        self.status = status
        self.cause = cause


@dataclass(frozen=True, slots=True)
class SourceOutcome:
    """What became of one source of one patch: one entry of a ledger line."""

    status: Status
    """Never `PENDING`."""
    code: str | None = None
    """Why, where it is rejected or absent (a `Code`); the error's class where it failed."""
    value: float | None = None
    """What was measured and decided it, such as the best clear fraction."""
    cause: str | None = None
    """What went wrong where it failed: one line, without signed URLs."""
    scenes: tuple[str, ...] = ()
    """Ids of the scenes its pixels come from."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Id of each scene that would have been used and could not be read, and why: one line, without signed URLs."""


@dataclass(frozen=True, slots=True)
class PatchOutcome:
    """What became of one patch."""

    id: str
    """Its location."""
    status: Status
    """Follows from the recipe's required sources."""
    sources: dict[str, SourceOutcome]
    """By name of the source; and `SLAB`, where the failure was none of theirs."""
    chunks: dict[str, str] = field(default_factory=dict)
    """Array → xxh3-128 of the stored chunk, where pixels are stored."""
    facts: str = ""
    """xxh3-128 of its row of measured coordinates (`Cube.row_hashes`); empty where a slab failed before it had one."""

    def has(self, source: str) -> bool:
        """Whether it has pixels of a source: a source that is ok may be one of a patch that failed for another."""
        its = self.sources.get(source)
        return self.status is Status.OK and its is not None and its.status is Status.OK

    @property
    def reason(self) -> str:
        """`code:source` of the source that keeps the patch from being ok, the first by name of several; `ok` where none."""
        if self.status is Status.OK:
            return "ok"
        ranked = sorted(
            self.sources.items(), key=lambda kv: (kv[1].code == Code.UPSTREAM, kv[1].status is not self.status, kv[0])
        )
        for name, outcome in ranked:
            if outcome.status is not Status.OK:
                return f"{outcome.code}:{name}"
        raise AssertionError(f"patch {self.id} is {self.status.name} but each of its sources is ok")

    @property
    def label(self) -> str:
        """The outcome in a word or two, as counts show it: its reason, `failed` before it where it failed."""
        return f"failed {self.reason}" if self.status is Status.FAILED else self.reason
