"""Files that grow line by line."""

import contextlib
import errno
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.store import appended


@given(st.binary(max_size=40), st.integers(1, 7))
def test_whole_lines_are_what_stands_up_to_the_last_end_of_one(data: bytes, step: int):
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile() as file:
        patch.setattr(appended, "_STEP", step)
        file.write(data)
        file.flush()
        assert appended._whole(file.fileno()) == data.rfind(b"\n") + 1


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process can be larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_of_a_line_that_has_no_room_nothing_is_left_and_the_next_is_whole(tmp_path: Path):
    where = tmp_path / "lines"
    with appended.AppendedFile(where, lambda: None, "wait") as file:
        file.write(b"one\n")
        with room_for(6), pytest.raises(OSError, match="large") as found:
            file.write(b"twenty-two\n")
        assert found.value.errno == errno.EFBIG
        assert (where.read_bytes(), file.size) == (b"one\n", 4)
        file.write(b"three\n")
        assert file.size == 10
    assert where.read_bytes() == b"one\nthree\n"
