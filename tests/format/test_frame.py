"""Some blocks of a Blosc buffer, beside the whole of it."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import blosc

from curation.format import frame
from tests.properties import examples

STALE = 0xA5
SPLIT = [(b"lz4hc", 5), (b"lz4", 1), (b"blosclz", 9)]
"""Compressors that deal bytes out to streams: their blocks have 32 KiB of each at least, whatever is asked for."""
ZSTD = (b"zstd", 3)


def packed(size, block, codec, shuffle, item, noise, seed=0):
    """(content, its buffer): `noise` of 256 values, 0 to be all alike."""
    content = np.random.default_rng(seed).integers(0, noise + 1, size, np.uint8).tobytes()
    return content, blosc.compress(content, *codec, shuffle, block, item)


def decoded(buffer, size, wanted):
    out = bytearray([STALE]) * size
    frame.decode(memoryview(buffer), memoryview(out), wanted)
    return bytes(out)


@pytest.fixture
def counted(monkeypatch):
    """Bytes of each call that unpacks."""
    sizes, real = [], blosc.decompress

    def counting(data, out):
        sizes.append(len(out))
        return real(data, out)

    monkeypatch.setattr(frame.blosc, "decompress", counting)
    return sizes


@given(
    sizes=st.one_of(
        st.tuples(st.just(ZSTD), st.integers(300, 40_000), st.sampled_from([128, 1000, 1024, 4096, 9999, 0])),
        st.tuples(st.sampled_from(SPLIT), st.integers(300, 300_000), st.sampled_from([1 << 15, 40_000, 1 << 17, 0])),
    ),
    shuffle=st.sampled_from([blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE]),
    item=st.sampled_from([1, 2, 4]),
    noise=st.sampled_from([0, 1, 7, 255]),
    ends=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6),
)
@settings(max_examples=examples(200), deadline=None)
def test_what_is_wanted_is_what_the_whole_buffer_holds_there(sizes, shuffle, item, noise, ends):
    codec, size, block = sizes
    content, buffer = packed(size, block, codec, shuffle, item, noise)
    wanted = [
        (int(min(e) * (size - 1)), int(min(e) * (size - 1)) + 1 + int((max(e) - min(e)) * (size - 1))) for e in ends
    ]
    got = decoded(buffer, size, wanted)
    for start, stop in wanted:
        assert got[start:stop] == content[start:stop]
    assert decoded(buffer, size, None) == content


def test_blocks_that_hold_nothing_of_it_are_left_as_they_were(counted):
    content, buffer = packed(10_300, 1024, ZSTD, blosc.SHUFFLE, 2, 7)
    got = decoded(buffer, 10_300, [(5_000, 5_200), (2_047, 2_049), (10_250, 10_251)])
    seen = [slice(1024, 3072), slice(4096, 6144), slice(10_240, 10_300)]
    expected = bytearray([STALE]) * 10_300
    for part in seen:
        expected[part] = content[part]
    assert got == bytes(expected)
    assert counted == [2048, 2048, 60]


def test_where_all_blocks_are_wanted_they_are_unpacked_at_once(counted):
    content, buffer = packed(8_192, 1024, ZSTD, blosc.SHUFFLE, 2, 7)
    assert decoded(buffer, 8_192, [(at, at + 1) for at in range(0, 8_192, 1024)]) == content
    assert counted == [8_192]


def test_what_was_not_packed_has_no_blocks(counted):
    """Though its content may look like where blocks begin."""
    content = struct.pack("<8I", *range(48, 8_048, 1_000)) + np.random.default_rng(0).bytes(8_160)
    buffer = blosc.compress(content, *ZSTD, blosc.NOSHUFFLE, 1024, 1)
    assert buffer[2] & 2
    assert decoded(buffer, 8_192, [(0, 1)]) == content
    assert counted == [8_192]


@pytest.mark.parametrize("codec", [*SPLIT, ZSTD])
@pytest.mark.parametrize("item", [2, 4])
def test_a_short_last_block_is_unpacked_alone(counted, codec, item):
    size = (1 << 15) * item + 4_464
    content, buffer = packed(size, 1 << 15, codec, blosc.SHUFFLE, item, 7)
    got = decoded(buffer, size, [(size - 10, size)])
    assert got[-4_464:] == content[-4_464:]
    assert sum(counted) == 4_464


def test_blocks_that_lie_in_another_order_are_unpacked_as_they_say(counted):
    """As compressors of many threads write them."""
    content, buffer = packed(4_096, 1024, ZSTD, blosc.SHUFFLE, 2, 7)
    a, b, c, d = struct.unpack_from("<4I", buffer, 16)
    swapped = bytearray(buffer[:32] + buffer[b:c] + buffer[a:b] + buffer[c:])
    struct.pack_into("<4I", swapped, 16, 32 + c - b, 32, c, d)
    assert decoded(swapped, 4_096, [(0, 1)]) == content
    assert counted == [4_096]


@pytest.mark.parametrize("at", [0, 4, 8, 12])
@pytest.mark.parametrize("start", [0, 31, 1 << 31, (1 << 32) - 1])
def test_a_block_that_begins_nowhere_is_refused(at, start):
    _, buffer = packed(4_096, 1024, ZSTD, blosc.SHUFFLE, 2, 7)
    broken = bytearray(buffer)
    struct.pack_into("<I", broken, 16 + at, start)
    with pytest.raises((RuntimeError, ValueError)):
        decoded(broken, 4_096, [(at * 256, at * 256 + 1)])
