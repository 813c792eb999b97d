"""The embedded Earth, served for a command: what keeps it from that is told as any other error is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from curation.errors import CurationError, extras
from curation.recipe.catalogs import EARTHS, EMBEDDED
from curation.store import full


@contextlib.contextmanager
def served(catalog: str = EMBEDDED) -> Iterator[str]:
    """URL of the STAC API of an embedded Earth, for as long as the context lasts.

    Args:
        catalog: which of them.

    Raises:
        ConfigError: the extra `earth` is not installed.
        StorageError: there is no room for temporary files.
        CurationError: its server ends before it answers.
    """
    extras.check("earth", f"catalog {catalog}")
    from curation import embedded  # not where another catalog is asked

    with contextlib.ExitStack() as stack:
        try:
            with full.temporary():
                url = stack.enter_context(embedded.serve(earth=EARTHS[catalog]))
        except embedded.ServerError as err:
            raise CurationError(str(err)) from err
        yield url
