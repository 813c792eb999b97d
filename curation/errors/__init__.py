"""What can go wrong, by kind. Each says in words where, what was found, what was expected, and what to do."""

from __future__ import annotations

from typing import ClassVar

from curation.errors.codes import Code


class CurationError(Exception):
    """An error that says where, what was found, what was expected and what to do."""

    code: ClassVar[Code | None] = None
    """What ledgers call it, where it has a name that lasts; the class's name where None."""
    result: object = None
    """What a step had come to that raises this after its work (`curation.api`)."""


def code_of(err: BaseException) -> str:
    """What a ledger calls an error that made a source fail."""
    return (err.code if isinstance(err, CurationError) else None) or type(err).__name__


class ConfigError(CurationError, ValueError):
    """Bad usage or configuration: the command ends with exit code 2."""


class ReadError(CurationError, OSError):
    """Pixels that should be there could not be read. Never turned into nodata.

    Unless it is a `PassingError`, asking again changes nothing: the file is gone, damaged, or not as its source says.
    """


class PassingError(ReadError):
    """A read that failed for what may pass: a server's error, a time-out, a lost connection, a refused signature."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        """Seconds to leave the server alone for at least, where it is known."""


class NoTileError(ReadError):
    """An image cannot be told elsewhere by what is known of a scene: it was not asked for."""

    code = Code.NO_TILE


class UnaskedCodeError(ConfigError):
    """A recipe names a program, Python code or a model, and nobody said that it may be executed."""

    code = Code.CODE_UNASKED


class StorageError(CurationError):
    """Nothing more can be written, or be read back, where results are kept: the run ends, and a rerun goes on."""


class DamageError(CurationError):
    """Something written earlier is not what was recorded of it."""


class SettingsError(ReadError):
    """A matter of this machine's settings: lasting, and no fault of the file. No other scene stands in for the one there."""


class TrustError(SettingsError):
    """A server's certificate is not trusted."""

    code = Code.UNTRUSTED


class GeoidError(SettingsError):
    """The geoid that heights are told from is not there on the machine that reads."""

    code = Code.NO_GEOID


class HeightsError(CurationError):
    """Heights that a source is judged by cannot be read: nothing stands in for them, so that no other scene would help."""


class LostHeightsError(HeightsError):
    """That is for an item of the catalog."""

    code = Code.UNREADABLE_ITEM


class NoAccessError(ConfigError):
    """What lets one in where files of a catalog lie is not set, which is known before anything is built."""

    code = Code.NO_ACCESS


class AccessError(SettingsError):
    """What lets one in where files lie is not there on the machine that reads, or is refused."""

    code = Code.NO_ACCESS
