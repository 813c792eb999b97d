import numcodecs.blosc
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from zarr.storage import MemoryStore

from curation.cubes.chunks import UNDECODED, codecs, decode_chunk, encode_chunk
from curation.errors.codes import Code

NUMBERS = st.sampled_from(["uint8", "int16", "uint16", "float32", "float64"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(max_dims=4, max_side=9))
)
TEXT = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=9).map(
    lambda words: np.array(words, object)
)


def of_zarr(values: np.ndarray, dtype: str) -> tuple[zarr.Array, dict]:
    """An array of one chunk, written by Zarr itself, and the objects that it lies in."""
    numcodecs.blosc.use_threads = False
    objects: dict = {}
    array = zarr.create_array(
        MemoryStore(objects), shape=values.shape, chunks=values.shape, dtype=dtype, compressors=codecs(dtype),
        fill_value="" if dtype == "str" else 0, config={"write_empty_chunks": True},
    )  # fmt: skip
    array[...] = values
    return array, objects


def key(objects: dict) -> str:
    return next(k for k in objects if k.startswith("c/"))


@given(NUMBERS | TEXT)
@settings(deadline=None)
def test_the_bytes_are_those_that_zarr_writes_and_come_back(values):
    dtype = "str" if values.dtype == object else values.dtype.name
    _, objects = of_zarr(values, dtype)
    ours = encode_chunk(values, values.shape, dtype)
    assert ours == objects[key(objects)].to_bytes()
    back = decode_chunk(ours, values.shape, dtype)
    assert (
        back.tolist() == values.tolist() if dtype == "str" else np.array_equal(back, values, equal_nan=dtype[0] == "f")
    )
    assert back.shape == values.shape
    assert back.flags.writeable


def test_a_value_fills_its_chunk():
    assert decode_chunk(encode_chunk(np.uint16(7), (2, 3), "uint16"), (2, 3), "uint16").tolist() == [[7] * 3] * 2


def test_an_array_of_the_other_byte_order_is_stored_by_its_values():
    values = np.arange(5, dtype=">u2")
    assert encode_chunk(values, (5,), "uint16") == encode_chunk(values.astype("<u2"), (5,), "uint16")


@pytest.mark.parametrize("dtype", ["uint16", "str"])
def test_what_is_no_chunk_is_told(dtype):
    values = np.arange(40, dtype="u2") if dtype == "uint16" else np.array(list(map(str, range(40))), object)
    chunk = encode_chunk(values, (40,), dtype)
    for at in range(len(chunk)):
        flipped = bytes(b ^ (1 << at % 8) if i == at else b for i, b in enumerate(chunk))
        with pytest.raises(ValueError, match=r"CRC-32C"):
            decode_chunk(flipped, (40,), dtype)
    for cut in (*range(9), len(chunk) // 2, len(chunk) - 1):
        with pytest.raises(ValueError, match=r"CRC-32C"):
            decode_chunk(chunk[:cut], (40,), dtype)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((39,), "uint16"), ((41,), "uint16"), ((40,), "uint8"), ((40,), "float32"), ((40,), "str")]
)
def test_a_chunk_of_something_else_is_told(shape, dtype):
    with pytest.raises(UNDECODED):
        decode_chunk(encode_chunk(np.arange(40, dtype="u2"), (40,), "uint16"), shape, dtype)


def test_text_of_another_count_is_told():
    with pytest.raises(UNDECODED):
        decode_chunk(encode_chunk(np.array(["a", "b"], object), (2,), "str"), (3,), "str")


def test_a_code_is_stored_as_text():
    assert type(decode_chunk(encode_chunk(np.array([Code.CLOUDY], object), (1,), "str"), (1,), "str")[0]) is str
