"""Whom this process trusts over TLS: one rule for searches, ranges and object stores.

All certificate authorities that any of `VARIABLES` names are trusted together, and no others are: none of them wins, so that
it does not matter which of them somebody was told to set. Where none is set, those of the system and of certifi are; an
object store's client takes certifi's where the system has none.
"""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import certifi

from curation.errors import ConfigError
from curation.store import full

VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE")
"""Environment variables that name trusted authorities: PEM files, or folders of them by hash (`openssl rehash`)."""

_FILE, _FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
"""What rustls looks at."""

_REFUSED = ("CERTIFICATE_VERIFY_FAILED", "InvalidCertificate(", "invalid peer certificate")
"""What OpenSSL and rustls say of a certificate that is not trusted."""

_environment = threading.Lock()


def named() -> dict[str, tuple[Path, ...]]:
    """Variable → what it names, of those that are set; folders may be several in one."""
    with _environment:  # not while `for_rustls` has it changed
        found = {name: os.environ.get(name, "").strip() for name in VARIABLES}
    return {n: tuple(map(Path, filter(None, text.split(os.pathsep)))) for n, text in found.items() if text}


def trusted() -> str:
    """Who is trusted, for a person."""
    found = [f"{name} ({os.pathsep.join(map(str, paths))})" for name, paths in named().items()]
    return " and ".join(found) or "the system's and certifi's, since no variable names any"


def context() -> ssl.SSLContext:
    """What a client of TLS is made with; the same one as long as the environment and the files are.

    Raises:
        ConfigError: what the environment names is not there, or holds no certificate.
    """
    return _context(tuple((n, p, *_state(n, p)) for n, paths in named().items() for p in paths))


def _state(name: str, path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as err:
        raise ConfigError(f"{name}: {path}: {err.strerror}; expected certificates (PEM): mend the variable") from err
    return stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=8)
def _context(sources: tuple[tuple[str, Path, int, int], ...]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not sources:
        made.load_default_certs()
        made.load_verify_locations(certifi.where())
    for name, path, *_ in sources:
        try:
            made.load_verify_locations(**{"capath" if path.is_dir() else "cafile": str(path)})
        except OSError as err:  # ssl.SSLError, too
            raise ConfigError(
                f"{name}: {path}: holds no certificates that can be read ({err}); expected PEM: mend the variable"
            ) from err
    return made


@contextlib.contextmanager
def for_rustls() -> Iterator[None]:
    """While it lasts the environment says to rustls what this module's rule says; it looks when a client is made.

    Raises:
        ConfigError: as `context` does.
        StorageError: there is no room for a temporary file.
    """
    found = named()
    if found:
        context()  # what is wrong with the variables is told by their names
    if found.keys() <= {_FILE, _FOLDER} and (found or _system_has_any()):
        yield
        return
    paths = [p for each in found.values() for p in each] or [Path(certifi.where())]
    files = dict.fromkeys(q for p in paths for q in (sorted(p.iterdir()) if p.is_dir() else [p]))
    certificates = b"".join(p.read_bytes() + b"\n" for p in files if p.is_file())
    with _environment, contextlib.ExitStack() as stack:
        with full.temporary():
            file = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".pem"))
            file.write(certificates)
            file.flush()
        before = {n: os.environ.pop(n, None) for n in (_FILE, _FOLDER)}
        os.environ[_FILE] = file.name
        try:
            yield
        finally:
            del os.environ[_FILE]
            os.environ.update({n: v for n, v in before.items() if v is not None})


def _after_fork() -> None:
    """A child has none of the threads that may hold its parent's lock."""
    global _environment
    _environment = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _system_has_any() -> bool:
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.openssl_capath)
    return Path(paths.openssl_cafile).is_file() or (folder.is_dir() and any(folder.iterdir()))


def refused(err: BaseException | None) -> bool:
    """Whether an error, or what it comes from, is that a certificate is not trusted."""
    seen: set[int] = set()
    while err is not None and id(err) not in seen:
        seen.add(id(err))
        if isinstance(err, ssl.SSLCertVerificationError) or any(word in str(err) for word in _REFUSED):
            return True
        err = err.__cause__ or err.__context__
    return False


def advice() -> str:
    """What to do about a certificate that is not trusted."""
    return (
        "its certificate is not trusted; where a CA of your own signed it, set REQUESTS_CA_BUNDLE to that CA's file (PEM) "
        f"on every machine that reads; trusted now: {trusted()}"
    )
