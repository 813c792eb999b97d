"""Samples by torchgeo's keys are the reader's own, lie where the table says, and are drawn in true colour."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import torch
from msgspec.structs import replace

from curation.errors import ConfigError
from curation.stream import open_shards
from curation.stream.torchgeo import GeoSamples, _check
from tests import world as tiny
from tests.run import Curate
from tests.stream import mixes
from tests.stream.mixes import COARSE, ENTRIES, S2, SEASONS, entry, key_of, pack, there, truth

ARRAYS = ["s2l2a_10m", "s2l2a_20m"]


@pytest.fixture(scope="module")
def samples(built: Curate) -> GeoSamples:
    return GeoSamples(
        built.folder / "shards", "train", ARRAYS, season="autumn", mask="worldcover_10m", upsample="nearest"
    )


def test_a_sample_is_the_reader_s_under_torchgeo_s_keys(built: Curate, samples: GeoSamples):
    reader = open_shards(built.folder / "shards", "train", upsample="nearest").by_id()
    assert len(samples) == len(reader) == 7
    for row in range(len(samples)):
        mine, theirs = samples[row], reader[row]
        assert list(mine) == ["image", "mask", "label", "bbox", "crs", "key"]
        assert mine["key"] == theirs["key"]
        assert mine["image"].dtype is torch.float32
        assert torch.equal(mine["image"], torch.cat([theirs[n][1] for n in ARRAYS]).float())
        assert torch.equal(mine["mask"], theirs["worldcover_10m"][0].long())
    assert samples.all_bands == ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12")
    with pytest.raises(IndexError):
        samples[7]


def test_pixels_are_those_of_the_place_and_the_box_is_its_footprint(built: Curate, samples: GeoSamples):
    row = samples.samples.ids.index(tiny.name(1, 1))
    assert np.array_equal(samples[row]["image"][0].numpy(), tiny.crop(tiny.dn("B02", 10), 10, 1, 1))
    table = pq.read_table(built.folder / "shards/train/samples.parquet")
    shape = shapely.from_wkb(table["geometry"][row].as_py())
    assert samples[row]["bbox"].tolist() == pytest.approx(list(shape.bounds))
    assert samples[row]["crs"] == "EPSG:4326"


def test_a_loader_makes_batches_of_them_and_transforms_are_applied(built: Curate):
    def doubled(sample):
        return sample | {"image": sample["image"] * 2}

    plain, twice = (GeoSamples(built.folder / "shards", "train", ["s2l2a_10m"], transforms=t) for t in (None, doubled))
    batch = next(iter(torch.utils.data.DataLoader(twice, batch_size=4)))
    assert batch["image"].shape == (4, 4, 48, 48)
    assert torch.equal(batch["image"][2], plain[2]["image"] * 2)
    assert "mask" not in batch


def test_it_is_drawn_in_true_colour_beside_its_mask(samples: GeoSamples):
    sample = samples[0]
    figure = samples.plot(sample, suptitle="here")
    image, mask = figure.axes
    drawn = image.images[0].get_array()
    assert drawn.shape == (48, 48, 3)
    red = sample["image"][2].numpy()
    assert np.corrcoef(np.asarray(drawn[..., 0]).ravel(), red.ravel())[0, 1] > 0.9
    assert np.array_equal(mask.images[0].get_array(), sample["mask"].numpy())
    assert figure.get_suptitle() == "here"


@pytest.mark.parametrize(
    ("arrays", "how", "told"),
    [
        (["s2l2a_15m"], {}, "did you mean s2l2a_10m"),
        (["s2l2a_10m"], {"season": "spring"}, "known: summer, autumn"),
        (["s2l2a_10m"], {"mask": "worldcover"}, "no array 'worldcover'; did you mean worldcover_10m"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(built: Curate, arrays, how, told):
    with pytest.raises(ConfigError, match=told):
        GeoSamples(built.folder / "shards", "train", arrays, **how)


SAMPLES = 24
GEOMETRY = {"geometry": [shapely.box(9, 50, 9.1, 50.1).wkb] * SAMPLES}


def test_samples_that_lack_an_array_are_left_out_and_not_zeros(tmp_path):
    pack(tmp_path, "s2", SAMPLES, told=GEOMETRY)
    arrays = ["s2l2a_10m", "dem_10m"]
    for season, number in ((SEASONS[0], 0), (SEASONS[1], 1)):
        samples = GeoSamples(tmp_path, "train", arrays, season=season)
        has = [n for n in range(SAMPLES) if number in there("s2l2a", n)]
        assert len(samples) == len(has)
        assert 0 < len(has) < SAMPLES or number == 1
        for place, row in enumerate(has):
            sample = samples[place]
            assert sample["key"] == key_of("s2", row)
            assert np.array_equal(
                sample["image"][:4].numpy(), truth("s2l2a_10m", ENTRIES["s2"]["s2l2a_10m"], row, number)
            )
        assert samples[-1]["key"] == key_of("s2", has[-1])
        with pytest.raises(IndexError):
            samples[len(has)]


def test_what_is_required_beside_the_arrays_is_required_here_too(tmp_path):
    pack(tmp_path, "s2", SAMPLES, told=GEOMETRY)
    both = [key_of("s2", n) for n in range(SAMPLES) if there("s2l2a", n) == [0, 1]]
    samples = GeoSamples(tmp_path, "train", ["dem_10m"], at_least={"s2l2a": 2})
    assert [sample["key"] for sample in samples] == both
    assert len(both) < SAMPLES


def test_where_no_sample_has_all_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(mixes, "there", lambda source, number: [1])
    pack(tmp_path, "s2", 2, told={"geometry": GEOMETRY["geometry"][:2]})
    with pytest.raises(ConfigError, match="no sample of 'train' has all of s2l2a_10m: ask for less"):
        GeoSamples(tmp_path, "train", ["s2l2a_10m"], season=SEASONS[0])


def test_an_array_of_other_seasons_or_of_several_times_is_refused(tmp_path):
    entries = {
        "s2l2a_10m": entry("s2l2a", S2, 8, 10.0),
        "once_20m": entry("once", COARSE, 4, 20.0, seasons=SEASONS[1:]),
    }
    pack(tmp_path, "s2", 4, entries, told={"geometry": GEOMETRY["geometry"][:4]})
    with pytest.raises(ConfigError, match=rf"once_20m has no season '{SEASONS[0]}'; it has: {SEASONS[1]}"):
        GeoSamples(tmp_path, "train", ["s2l2a_10m", "once_20m"])
    index = open_shards(tmp_path, "train").index
    many = replace(index, arrays={"s2l2a_10m": replace(entries["s2l2a_10m"], steps=3)})
    with pytest.raises(ConfigError, match="s2l2a_10m is of children or of several times"):
        _check(many, ["s2l2a_10m"], SEASONS[0])


def test_a_dataset_without_season_and_labels_has_images_alone(tmp_path):
    pack(tmp_path, "aerial", SAMPLES, told=GEOMETRY)
    samples = GeoSamples(tmp_path, "train", ["naip_1m"])
    assert list(samples[0]) == ["image", "bbox", "crs", "key"]
    assert len([sample["key"] for sample in samples]) == SAMPLES


def test_scene_labels_are_of_the_annual_map_where_none_are_of_the_season(built: Curate, samples: GeoSamples):
    reader = open_shards(built.folder / "shards", "train").by_id()
    summer = GeoSamples(built.folder / "shards", "train", ["s2l2a_10m"], season="summer")
    known = {"summer": 0, "autumn": 0, "annual": 0}
    for row in range(len(samples)):
        theirs = reader[row]
        for of, expected in ((summer, theirs["labels"][0]), (samples, theirs["annual_labels"])):
            assert torch.equal(of[row]["label"].nan_to_num(-1), expected.nan_to_num(-1))
        summer_known, autumn_known = theirs["labels_known"].tolist()
        known["summer"] += summer_known
        known["autumn"] += autumn_known
        known["annual"] += theirs["annual_labels_known"]
    assert known["summer"] > 0 == known["autumn"] < known["annual"]


@pytest.mark.parametrize("image", [torch.full((3, 4, 4), torch.nan), torch.rand(3, 2400, 2400)], ids=["none", "large"])
def test_what_has_no_pixel_and_what_has_many_is_drawn(samples: GeoSamples, image: torch.Tensor):
    figure = samples.plot({"image": image})
    drawn = figure.axes[0].images[0].get_array()
    assert drawn.shape == (*image.shape[1:], 3)
    assert 0 <= drawn.min() <= drawn.max() <= 1
