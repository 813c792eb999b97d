import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec

from curation.cubes import zarrshard
from curation.errors import DamageError

CHUNKS = st.integers(1, 9).flatmap(
    lambda slots: st.tuples(st.just(slots), st.dictionaries(st.integers(0, slots - 1), st.binary(max_size=40)))
)


@given(CHUNKS)
@settings(deadline=None)
def test_what_is_assembled_is_parsed_again(made):
    slots, chunks = made
    data = zarrshard.assemble(chunks, slots)
    assert zarrshard.parse(data, slots, "here") == chunks
    assert zarrshard.parse_index(data[-zarrshard.index_size(slots) :], slots, "here").keys() == chunks.keys()
    assert zarrshard.assemble(zarrshard.parse(data, slots, "here"), slots) == data


def empty(path, slots: int) -> zarr.Array:
    return zarr.create_array(
        path, shape=(slots, 3, 4), shards=(slots, 3, 4), chunks=(1, 3, 4), dtype="uint16", fill_value=7,
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), config={"write_empty_chunks": True},
    )  # fmt: skip


@given(st.integers(1, 6), st.sets(st.integers(0, 5)), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
@pytest.mark.slow
def test_zarr_reads_what_is_assembled_from_what_zarr_wrote(tmp_path_factory, slots, stored, seed):
    folder, stored = tmp_path_factory.mktemp("z"), sorted(s for s in stored if s < slots)
    values = np.random.default_rng(seed).integers(0, 9, (slots, 3, 4)).astype("u2")
    empty(folder / "theirs", slots)[:] = values
    theirs = zarrshard.parse((folder / "theirs/c/0/0/0").read_bytes(), slots, "theirs")
    assert sorted(theirs) == list(range(slots)), "we parse what zarr writes"
    ours = empty(folder / "ours", slots)
    target = folder / "ours/c/0/0/0"
    target.parent.mkdir(parents=True)
    target.write_bytes(zarrshard.assemble({s: theirs[s] for s in stored}, slots))
    want = np.full_like(values, 7)
    want[stored] = values[stored]
    assert np.array_equal(ours[:], want)
    assert all(np.array_equal(ours[s], want[s]) for s in range(slots))


def test_a_partial_shard_of_zarr_is_parsed(tmp_path):
    array = empty(tmp_path / "a", 4)
    array[2] = np.ones((3, 4), "u2")
    assert list(zarrshard.parse((tmp_path / "a/c/0/0/0").read_bytes(), 4, "here")) == [2]


@given(CHUNKS, st.integers(1, 120))
@settings(deadline=None)
def test_runs_are_bytes_that_stand_together_and_no_more_than_asked_for(made, most):
    slots, chunks = made
    data = zarrshard.assemble(chunks, slots)
    wanted = {
        s: i for s, i in zarrshard.parse_index(data[-zarrshard.index_size(slots) :], slots, "here").items() if s % 4
    }
    runs = zarrshard.runs(wanted, most)
    assert [slot for run in runs for slot in run] == list(wanted)
    for run in runs:
        (first, _), (last, length) = wanted[run[0]], wanted[run[-1]]
        assert data[first : last + length] == b"".join(chunks[s] for s in run)
        assert last + length - first <= most or len(run) == 1


DATA = zarrshard.assemble({0: b"abc", 2: b"defgh"}, 3)


@pytest.mark.parametrize("cut", range(1, len(DATA) + 1))
def test_a_shard_cut_anywhere_is_damaged(cut):
    with pytest.raises(DamageError, match=r"^here: the index .*"):
        zarrshard.parse(DATA[:-cut], 3, "here")
    with pytest.raises(DamageError, match=r"^here: "):
        zarrshard.parse(DATA[cut:], 3, "here")


@pytest.mark.parametrize("at", range(8, len(DATA)))
def test_a_flipped_byte_of_the_index_is_damage(at):
    spoilt = bytearray(DATA)
    spoilt[at] ^= 1
    with pytest.raises(DamageError, match=r"^here: "):
        zarrshard.parse(bytes(spoilt), 3, "here")


def test_an_index_of_another_number_of_chunks_is_damage():
    for slots in (1, 2, 4, 9):
        with pytest.raises(DamageError):
            zarrshard.parse(DATA, slots, "here")
