"""What obstore's errors say, and what a person can do about each."""

from __future__ import annotations

import re
from collections.abc import Iterable

from obstore.exceptions import (
    InvalidPathError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from curation.errors import CurationError, PassingError, StorageError
from curation.errors.printable import printable
from curation.errors.words import shortened
from curation.store import full, trust

MISSING = (NotFoundError, FileNotFoundError)
"""What obstore raises where there is no object: it has both."""

FINAL = (
    InvalidPathError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
"""What obstore raises where asking again changes nothing."""

UNTRUSTED = "invalid peer certificate"
"""How errors end that come from a certificate which is not trusted."""

NO_CONNECTION = re.compile(
    r'"((?:failed to lookup address information|Connection refused|Network is unreachable)[^"]*)"'
)
"""Why there is no connection, in what obstore tells a programmer of an error."""

_FULL = re.compile(r"(?i)\bquota|QuotaExceeded|InsufficientStorage|StorageFull|status code: 507|507 Insufficient")
"""What stores say that take no more: the status 507, or a 403 with such a code (S3's, Ceph's, MinIO's, Azure's)."""

_AGAIN = full.AGAIN


def translated(err: Exception, where: str, names: Iterable[str]) -> CurationError:
    """What a person is told of an error of obstore's.

    Args:
        err: the error.
        where: the object, as a person names it.
        names: what the object, its bucket and its folders are called.
    """
    cause = brief(err)
    if trust.refused(err):
        return StorageError(f"{where}: {trust.advice()} ({cause}), {_AGAIN}")
    if _FULL.search(_without(names, str(err))):
        return StorageError(f"{where}: takes no more ({cause}): make room there, or have its quota raised, {_AGAIN}")
    if isinstance(err, PermissionDeniedError | UnauthenticatedError):
        do = "give credentials in the environment that may list, get, put and delete there"
        return StorageError(f"{where}: is refused ({cause}): {do}, {_AGAIN}")
    if isinstance(err, MISSING):
        return StorageError(f"{where}: there is no such bucket ({cause}): make it, or choose another, {_AGAIN}")
    if isinstance(err, FINAL) or (400 <= (code := status(cause)) < 500 and code not in (408, 425, 429)):
        return StorageError(f"{where}: is refused ({cause}): see to that, {_AGAIN}")
    return PassingError(f"{where}: {cause}; the store did not answer in time: run the same command again")


def _without(names: Iterable[str], text: str) -> str:
    """What a store says of an object, without what the object, its bucket and URLs are called, which is anything."""
    text = re.sub(r"[\w+.-]+://\S+", "", text)
    for name in names:
        text = text.replace(name, "") if name else text
    return text


def status(cause: str) -> int:
    """The HTTP status that an error of obstore tells; 0 where it tells none."""
    found = re.search(r"status code: (\d+)", cause)
    return int(found[1]) if found else 0


def brief(err: Exception) -> str:
    """The first line of an error of obstore, printable, without an answer's XML, and with why no connection was made."""
    text = next(iter(str(err).splitlines()), "").partition(": <?xml")[0]
    why = "" if not trust.refused(err) else f": {UNTRUSTED}"
    found = NO_CONNECTION.search(str(err))
    if found:
        why = f": {found[1]}"
    return f"{type(err).__name__}: {shortened(printable(text.strip()), 400)}{why}"
