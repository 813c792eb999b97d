"""The page of an audit in a real browser: keys mark, nothing of it is forbidden by its own policy, and a rerun goes on."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.integration import browser
from tests.integration.conftest import needed
from tests.run import Curate
from tests.worth.audit.test_serving import Page, serving_to

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def program() -> Path:
    its = browser.browser()
    lacking = f"no Chromium: install it, or name one (${browser.VARIABLE})" if its is None else ""
    needed("the page of an audit in a browser", lacking)
    assert its is not None
    return its


def lines(folder: Path) -> list[tuple[list[str], bool]]:
    found = (folder / "marks-ann.jsonl").read_text().splitlines()
    return [(its["labels"], its["sure"]) for its in map(json.loads, found)]


def url_of(page: Page) -> str:
    return f"http://127.0.0.1:{page.port}{page.path}"


def test_a_reader_marks_by_keyboard_and_goes_on_later(built: Curate, tmp_path: Path, program: Path):
    async def marks(page: Page) -> None:
        async with browser.opened(program, url_of(page), tmp_path / "profile") as tab:
            await tab.until("now && now.number === 0")
            await tab.until("[...document.images].length > 1 && [...document.images].every(i => i.naturalWidth === 48)")
            for key, number in (("2", 1), ("u", 2), ("5", 3)):
                await tab.press(key)
                await tab.until(f"now.number === {number}")
            await tab.press("Backspace")
            await tab.until("now.number === 2 && now.mark.labels[0] === 'crops'")
            await tab.press("3")
            await tab.until("now.number === 3")
            if where := os.environ.get("CURATION_TEST_PICTURES"):
                Path(where, "audit.png").write_bytes(await tab.picture())
            await tab.press("Escape")
            await tab.until("document.body.innerText.includes('can be closed')")
            assert tab.faults == []

    async def goes_on(page: Page) -> None:
        async with browser.opened(program, url_of(page), tmp_path / "again") as tab:
            await tab.until("now && now.number === 3")
            assert "3 of 6 marked by ann" in await tab.value("document.body.innerText")

    with serving_to(built, tmp_path) as page:
        asyncio.run(marks(page))
        assert page.marking.ended.wait(60)
    assert lines(tmp_path) == [(["trees"], True), ([], False), (["crops"], True), (["grass"], True)]
    with serving_to(built, tmp_path) as page:
        asyncio.run(goes_on(page))


def test_of_several_classes_keys_choose_and_enter_marks(built: Curate, tmp_path: Path, program: Path):
    async def marks(page: Page) -> None:
        async with browser.opened(program, url_of(page), tmp_path / "profile") as tab:
            await tab.until("now && now.number === 0")
            for key in ("5", "2", "1", "1"):
                await tab.press(key)
            await tab.press("Enter")
            await tab.until("now.number === 1")
            assert tab.faults == []

    with serving_to(built, tmp_path, question="present") as page:
        asyncio.run(marks(page))
    assert lines(tmp_path) == [(["trees", "crops"], True)]
