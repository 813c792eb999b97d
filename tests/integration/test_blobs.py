"""The archive lets in who has Azure's signature for a container, as long as it lasts, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.integration import blobs
from tests.integration.blobs import SignedBlobs
from tests.loopback import Request, serving

pytestmark = pytest.mark.integration

COLLECTION = "sentinel-2-l2a"
PLACE = blobs.PRIVATE[COLLECTION]


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[SignedBlobs, str]]:
    """An archive with one file in every place, and where it is."""

    def file(request: Request) -> None:
        request.send(200, b"pixels")

    with serving(file) as earth:
        made = SignedBlobs(f"{earth}/archive")
        with serving(made.answer) as url:
            yield made, url


def status(url: str, collection: str, query: str = "") -> int:
    href = blobs.href(collection, f"{collection}/item/B02.tif")
    return requests.get(f"{href}{query}", proxies={"http": url}, timeout=20).status_code


def test_a_signature_is_let_in(served: tuple[SignedBlobs, str]):
    made, url = served
    assert status(url, COLLECTION, f"?{made.token(*PLACE)[0]}") == 200


def test_without_one_with_a_changed_one_or_one_that_has_ended_nobody_is(served: tuple[SignedBlobs, str]):
    made, url = served
    token, _ = made.token(*PLACE)
    ended, _ = made.token(*PLACE, term_s=-1)
    longer = token.replace("se=20", "se=21")
    assert longer != token
    for query in ("", "?sig=", f"?{longer}", f"?{token[:-6]}AAAAAA", f"?{ended}"):
        assert status(url, COLLECTION, query) == 403, query


def test_one_of_another_container_or_account_is_not_let_in(served: tuple[SignedBlobs, str]):
    made, url = served
    other, _ = made.token(*blobs.PRIVATE["sentinel-1-rtc"])
    assert status(url, COLLECTION, f"?{other}") == 403
    stranger, _ = SignedBlobs(made.earth).token(*PLACE)
    assert status(url, COLLECTION, f"?{stranger}") == 403


def test_a_public_container_wants_none(served: tuple[SignedBlobs, str]):
    assert status(served[1], "dynamicworld") == 200


def test_the_service_gives_tokens_that_end_soon_and_at_times_refuses(served: tuple[SignedBlobs, str]):
    made, url = served
    asked = [requests.get(f"{url}{blobs.TOKENS}{'/'.join(PLACE)}", timeout=20) for _ in range(blobs.TOKEN_FAULT)]
    assert [answer.status_code for answer in asked] == [200] * (blobs.TOKEN_FAULT - 1) + [429]
    assert made.mark in asked[0].json()["token"]
    assert requests.get(f"{url}{blobs.TOKENS}somebody/else", timeout=20).status_code == 404
