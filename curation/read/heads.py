"""Heads of files, kept with a dataset: who reads the same files again, in another run or for another season, asks for none.

A head says where the blocks of a file are: that of another content would place them wrongly. It is kept with the mark of its
content (a strong ETag) and the file's size, which all later answers are compared with until one differs, and with a hash of
it all. What is kept can be lost at any time: it is asked for again then.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from curation.errors import ReadError, StorageError
from curation.errors.causes import one_line
from curation.read.ranges import Answer
from curation.store import paths
from curation.store.objects import Store

log = logging.getLogger(__name__)

SAVED_AS = 1
"""The form of what is kept; of another one nothing is believed."""

MOST_BYTES = 4 * 2**20
"""Of the heads of one folder of files, unpacked: those of a thousand bands of Sentinel-2. The oldest go first."""

MOST_MARK, _PER_HEAD = 128, 512
"""Characters of a mark, at most; and what else is said of a head, bytes."""

HeadsByName = dict[str, Answer]
"""The name of a file → its head, those that were kept last behind."""


@dataclass(slots=True)
class _Folder:
    """The heads of a folder's files, as they are stored, and what is to become of them."""

    stored: HeadsByName
    new: HeadsByName = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    """The name of a file → the mark that it has no more."""

    def find(self, name: str) -> Answer | None:
        """The head of a file that is believed."""
        return self.new.get(name) or self.stored.get(name)

    def forget(self, name: str, version: str) -> None:
        """Believes it no more."""
        self.new.pop(name, None)
        self.stored.pop(name, None)
        self.wrong[name] = version

    def merged(self, stored: HeadsByName) -> HeadsByName:
        """What is to be stored in place of what is stored by now: of two heads of a file the newer, or the longer one."""
        found = {name: its for name, its in stored.items() if its.version != self.wrong.get(name)}
        for name, its in self.new.items():
            other = found.pop(name, its)
            found[name] = other if other.version == its.version and len(other.data) > len(its.data) else its
        return _bounded(found)


class Heads:
    """Heads that a dataset keeps, for the readers of a task; an object for each folder of files, for any threads.

    Processes that keep heads of one folder at a time may lose one another's, never mix them.
    """

    def __init__(self, store: Store, served: Mapping[str, str]) -> None:
        """Prepares it; nothing is read yet.

        Args:
            store: the dataset's.
            served: where catalogs are asked, such as `http://127.0.0.1:8080` → what they are, wherever that is.
        """
        self._store = store
        self._served = {f"{base.rstrip('/')}/": identity for base, identity in served.items()}
        self._folders: dict[str, _Folder] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def find(self, url: str) -> Answer | None:
        """The head of a file that is kept, to be proven by the next answer for it."""
        key, name = self._named(url)
        return self._folder(key).find(name)

    def add(self, url: str, head: Answer) -> None:
        """Keeps a head that later answers can be compared with: with a strong mark, of a file that goes on behind it."""
        is_strong = head.version.startswith('"') and len(head.version) <= MOST_MARK
        if not is_strong or not 0 < len(head.data) < head.size:
            return
        key, name = self._named(url)
        folder = self._folder(key)
        known = folder.find(name)
        if known is None or known.version != head.version or len(known.data) < len(head.data):
            folder.new[name] = head

    def forget(self, url: str, version: str) -> None:
        """What is kept of a file with this mark is not to be believed: it changed, or could not be read by that."""
        key, name = self._named(url)
        self._folder(key).forget(name, version)

    def publish(self) -> None:
        """Stores what is new, with what others have stored meanwhile. Raises as `Store.publish` does.

        Threads that fetch what a reader asked for and left may look for heads all the while.
        """
        with self._lock:
            folders = dict(self._folders)
        changed = {key: its for key, its in folders.items() if its.new or its.wrong}
        self._store.publish_all({key: _packed(its.merged(self._stored(key))) for key, its in changed.items()})
        with self._lock:
            for key in changed:
                del self._folders[key]

    def _named(self, url: str) -> tuple[str, str]:
        """The object that a file's head is in, and the file's name there; of neither can be told what URL that is."""
        base = next((base for base in self._served if url.startswith(base)), "")
        whole = f"{self._served[base]} {url.removeprefix(base)}" if base else url
        folder = whole.partition("?")[0].rpartition("/")[0]
        return paths.heads(_digest(folder.encode())), _digest(whole.encode())

    def _folder(self, key: str) -> _Folder:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # read once, however many files of it are wanted at a time
            found = self._folders.get(key)
            if found is None:
                found = _Folder(self._stored(key))
                with self._lock:
                    self._folders[key] = found
            return found

    def _stored(self, key: str) -> HeadsByName:
        """What an object has; nothing where it is none that can be believed: no file is to blame for that."""
        try:
            return _unpacked(self._store.get(key))
        except FileNotFoundError:
            return {}
        except (ReadError, StorageError) as err:
            log.warning("%s: heads of files are asked for anew: %s", self._store.where(key), one_line(err))
            return {}


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _bounded(heads: HeadsByName) -> HeadsByName:
    """Those kept last, as many as there is room for."""
    left, found = MOST_BYTES, list[tuple[str, Answer]]()
    for name, its in reversed(heads.items()):
        left -= len(its.data) + _PER_HEAD
        if left < 0:
            break
        found.append((name, its))
    return dict(reversed(found))


def _proof(name: str, head: Answer) -> str:
    return _digest(name.encode(), head.version.encode(), str(head.size).encode(), head.data)


def _packed(heads: HeadsByName) -> bytes:
    """A line of JSON that says what there is, and the heads behind it, deflated; without a time, so that equal is equal."""
    files = [[name, its.version, its.size, len(its.data), _proof(name, its)] for name, its in heads.items()]
    line = json.dumps({"saved_as": SAVED_AS, "files": files}, separators=(",", ":")).encode()
    return zlib.compress(b"\n".join([line, b"".join(its.data for its in heads.values())]))


def _unpacked(data: bytes) -> HeadsByName:
    """What `_packed` made. Raises ReadError where it is anything else, or is damaged."""
    try:
        line, _, heads = zlib.decompressobj().decompress(data, MOST_BYTES + _PER_HEAD).partition(b"\n")
        said = json.loads(line)
        if said["saved_as"] != SAVED_AS:
            raise ReadError(f"it is of form {said['saved_as']!r}, expected {SAVED_AS}")
        return dict(_each(said["files"], heads))
    except (zlib.error, ValueError, TypeError, KeyError, RecursionError) as err:
        raise ReadError(f"{type(err).__name__}: {err}") from None


def _each(files: Iterable[list[object]], heads: bytes) -> Iterable[tuple[str, Answer]]:
    at = 0
    for name, version, size, length, proof in files:
        head = Answer(heads[at : at + int(str(length))], int(str(size)), str(version))
        at += len(head.data)
        if _proof(str(name), head) != proof:
            raise ReadError(f"the head of file {str(name)[:16]} is not the one that was kept")
        yield str(name), head
