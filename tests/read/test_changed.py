"""A file that is another by now is read anew, not mixed, whatever its server makes of `If-Match`."""

from pathlib import Path

import pytest

from curation.read import ranges
from curation.read.ranges import ChangedError
from curation.read.signing import FileAddress
from tests.loopback import Request, serving

DATA = bytes(range(256)) * 16


@pytest.mark.parametrize("header", ["ETag", "Last_Modified"])
def test_a_server_that_ignores_if_match_and_gives_another_content_is_noticed(header: str):
    marks = {
        "ETag": ['"one"', '"two"'],
        "Last_Modified": ["Sat, 01 May 2021 00:00:00 GMT", "Sun, 02 May 2021 00:00:00 GMT"],
    }
    left = iter([marks[header][0], marks[header][0], marks[header][1]])

    def careless(request: Request) -> None:
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        part = DATA[first : last + 1]
        span = f"bytes {first}-{first + len(part) - 1}/{len(DATA)}"
        request.send(206, part, Content_Range=span, **{header: next(left)})

    with serving(careless) as url:
        place = FileAddress(f"{url}/s.tif")
        head = ranges.fetch(place, 0, 64, "s.tif")
        assert ranges.fetch(place, 64, 64, "s.tif", head.version).data == DATA[64:128]
        with pytest.raises(ChangedError, match=r"^s\.tif: has changed since its head was read"):
            ranges.fetch(place, 128, 64, "s.tif", head.version)


def test_a_file_on_disk_that_was_replaced_by_one_of_the_same_size_is_noticed(tmp_path: Path):
    path = tmp_path / "s.tif"
    path.write_bytes(DATA)
    head = ranges.fetch(FileAddress(str(path)), 0, 64, "s.tif")
    other = tmp_path / "other"
    other.write_bytes(DATA[::-1])
    other.replace(path)
    with pytest.raises(ChangedError, match=r"^s\.tif: has changed since its head was read"):
        ranges.fetch(FileAddress(str(path)), 64, 64, "s.tif", head.version)
