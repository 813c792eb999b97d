"""What exporting came to, or would come to."""

from __future__ import annotations

from dataclasses import dataclass

from curation.api.results import Result
from curation.errors.words import counted
from curation.work.progress import told_bytes


@dataclass(frozen=True, slots=True, repr=False)
class ExportResult(Result):
    """Files that are there, each hashed; of a dry run those that would be."""

    form: str
    noun: str
    """`patch` or `sample`."""
    count: int
    """Patches, or samples."""
    files: int
    size: int
    """Bytes; of a dry run those of pixels, before they are packed."""
    reused: int
    """Of the patches or samples those that an earlier run wrote: their files were read again and are what was recorded."""
    where: str
    """The folder; empty of a dry run."""

    def notes(self) -> list[str]:
        """How many, and where."""
        what = f"{self.form}: {counted(self.count, self.noun)}, {counted(self.files, 'file')}"
        if not self.where:
            pixels = f", {told_bytes(self.size)} of pixels before they are packed" if self.size else ""
            return [f"{what} to write{pixels}; nothing is written"]
        before = f"; {counted(self.reused, self.noun)} there already" if self.reused else ""
        return [f"{what}, {told_bytes(self.size)}{before}", f"written to {self.where}"]
