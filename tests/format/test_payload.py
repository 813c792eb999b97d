import io
import math

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError, DamageError
from curation.format.payload import DTYPES, decode, encode, encoding_of, npy_header

CODECS = ("lz4", "zstd", "none")


@given(st.sampled_from(DTYPES), st.tuples(*[st.integers(1, 5)] * 3), st.booleans(), st.sampled_from(CODECS))
def test_arrays_come_back_and_bytes_do_not_depend_on_memory_layout(dtype, shape, fortran, codec):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    other = np.asfortranarray(array).astype(np.dtype(dtype).newbyteorder(">")) if fortran else array.copy()
    payload = encode(array, codec)
    assert encode(other, codec) == payload
    assert np.array_equal(decode(payload, encoding_of(codec), "x"), array)
    file = payload if codec == "none" else numcodecs.blosc.decompress(payload)
    assert np.array_equal(np.load(io.BytesIO(file), allow_pickle=False), array)
    assert file.startswith(npy_header(shape, dtype))


@pytest.mark.parametrize("array", [np.array([object()]), np.zeros(3), np.array(["a"])])
def test_what_the_format_does_not_have_is_refused(array):
    with pytest.raises(ConfigError, match="expected one of uint8"):
        encode(array, "none")


def test_a_damaged_payload_is_refused():
    whole = encode(np.arange(5000, dtype=np.uint16), "lz4")
    for data in (whole[:-9], b"no blosc at all, but long enough", b""):
        with pytest.raises(DamageError, match=r"sample x: .*pack it again"):
            decode(data, "npy.blosc", "sample x")
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}]), allow_pickle=True)
    with pytest.raises(DamageError, match="expected one of uint8"):
        decode(pickled.getvalue(), "npy", "sample x")
