"""Where the href of a scene leads, and whether it may lead there: what a catalog says must not open this machine's files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from curation.errors import ReadError
from curation.errors.codes import Code
from curation.errors.printable import printable

SERVERS = ("http", "https")
BUCKETS = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss")
"""Schemes of what is read over the network: by a client of servers, and by one of object stores."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


class LocalHrefError(ReadError):
    """An href leads to a file of this machine that the recipe does not let it read: never opened."""

    code = Code.LOCAL_HREF


def scheme_of(href: str) -> str:
    """The scheme of a URL, in lower case; empty of a path. A colon alone makes none but `file:`: file names have it."""
    head, _, rest = href.partition(":")
    if not _SCHEME.fullmatch(head) or not rest:
        return ""
    return head.lower() if rest.startswith("//") or head.lower() == "file" else ""


def is_relative(href: str) -> bool:
    """Whether it is a path that is told from somewhere."""
    return "://" not in href and not scheme_of(href) and not href.startswith("/")


def located(href: str, base: str, folders: Sequence[str] | None = None) -> str:
    """The URL or the path on this machine that an href leads to.

    A local file may be below the base where that is a folder (a catalog that is a file), and below `folders`, which the
    recipe names; both as they are written, and as links lead. Nothing is opened.

    Args:
        href: as a scene has it.
        base: what relative hrefs are told from: a folder, or a URL.
        folders: where local files may lie, too. None where whoever asks has named the files himself, and vouches for them:
            then they may lie anywhere, unless the base is a URL.

    Raises:
        LocalHrefError: it leads to a file of this machine that lies elsewhere.
        ReadError: it leads nowhere that anything is read from.
    """
    scheme, is_local_base = scheme_of(href), not scheme_of(base) or scheme_of(base) == "file"
    if scheme in (*SERVERS, *BUCKETS):
        return f"{scheme}:{href.partition(':')[2]}"
    if "://" in href and scheme != "file":
        raise ReadError(
            f"{printable(href)}: expected a path, or a URL that begins with one of "
            f"{', '.join(f'{s}://' for s in (*SERVERS, *BUCKETS))}"
        )
    if is_relative(href) and not is_local_base:
        return f"{base.rstrip('/')}/{href}"
    below = [_path(base) if folders is not None else "/"] if is_local_base else []
    below += folders or ()
    named = _named(href, scheme)
    # As it is written, or with a space for `%20`; each is looked at before anybody asks whether it is there.
    paths = [_whole(p, _path(base) if is_local_base else "/") for p in dict.fromkeys([named, unquote(named)])]
    for path in paths:
        if not any(_is_below(path, folder) for folder in below):
            raise LocalHrefError(f"{printable(href)}: {_refusal(base, is_local=is_local_base)}")
    return next((p for p in paths if os.path.exists(p)), paths[0])  # noqa: PTH110 - of a name with a zero byte it is False


def _named(href: str, scheme: str) -> str:
    """The path that a local href names."""
    if scheme != "file":
        return href
    try:
        return urlsplit(f"file:{href.partition(':')[2]}").path
    except ValueError as err:
        raise ReadError(f"{printable(href)}: no URL: {err}") from None


def _whole(path: str, folder: str) -> str:
    """A path from the root on, without `..`: what is looked at is what is opened."""
    return re.sub("^//+", "/", os.path.abspath(os.path.join(folder, path)))  # noqa: PTH100, PTH118 - Path keeps `..`


def _path(base: str) -> str:
    return unquote(urlsplit(base).path) if scheme_of(base) == "file" else base


def _is_below(path: str, folder: str) -> bool:
    """Whether a path lies below a folder, as both are written or as links lead."""
    if "\0" in path:
        return True  # it names nothing; who opens it is told so
    inner, outer = Path(path), Path(folder).absolute()
    return inner.is_relative_to(outer) or inner.resolve().is_relative_to(outer.resolve())


def _refusal(base: str, *, is_local: bool) -> str:
    if is_local:
        return (
            f"lies outside the catalog's folder {_path(base)}; where it is wanted, name its folder in the recipe: "
            '[search] local = ["/its/folder"]'
        )
    return (
        "leads to this machine's own disk, and the catalog is a remote one, whose hrefs are expected to be URLs; where it "
        'is wanted, name its folder in the recipe: [search] local = ["/its/folder"]'
    )
