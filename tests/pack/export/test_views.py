"""A view is the samples of the shards once more: the same keys and pixels by a stated rule, all accounted for."""

import ast
import gc
import hashlib
import io
import json
import logging
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from PIL import Image

import curation
from curation.api.viewed import ViewResult
from curation.errors import ConfigError, CurationError, DamageError
from curation.format.annotations import AnnotationEntry
from curation.format.tar import Sample, write_view
from curation.pack.export import captions, limits
from curation.pack.export.forms import clip
from curation.pack.export.views import ViewWish, urls
from curation.stream.open import open_shards
from tests import world as tiny
from tests.pack.export.conftest import TEXTLESS, fills_up
from tests.pack.test_annotate import own
from tests.run import Curate

PNG = ("--image", "png", "--limits", "1500:2500", "--per-tar", "2")


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """None that a command of another test has left: what they wrote to is closed."""
    monkeypatch.setattr(logging.getLogger("curation"), "handlers", [])


def view(run: Curate, name: str, to: Path, *flags: str) -> int:
    return run("view", name, "--to", str(to), "--scheduler", "none", *flags)


def index_of(folder: Path) -> dict:
    return json.loads((folder / "view.json").read_text())


def files_of(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def members_of(folder: Path) -> dict[str, dict[str, bytes]]:
    """Key → suffix → bytes, as tarfile finds them, each tar's keys contiguous."""
    out: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for its in tar:
                key, _, suffix = its.name.partition(".")
                file = tar.extractfile(its)
                assert file is not None
                assert suffix not in out.setdefault(key, {})
                out[key][suffix] = file.read()
    return out


def read_by_webdataset(folder: Path, how: Callable[[Any], Iterable[Any]]) -> list[Any]:
    """All of train; webdataset leaves a tar that it has read for the garbage to close, which is here."""
    rows = list(how(wds.WebDataset(str(folder / index_of(folder)["splits"]["train"]["urls"]), shardshuffle=False)))
    gc.collect()
    return rows


UNCLOSED = pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def pictures(captioned: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("view") / "clip"
    assert view(captioned, "clip", to, *PNG) == 0
    return to


def test_keys_are_those_of_the_shards_and_who_is_not_there_is_told_with_the_reason(captioned: Curate, pictures: Path):
    keys = {str(k) for batch in open_shards(captioned.folder, fields=[], batch_size=1) for k in batch["key"]}
    assert set(members_of(pictures)) == keys - {TEXTLESS}
    told = index_of(pictures)
    assert told["dropped"] == {"no_caption": {TEXTLESS: None}}
    assert told["splits"]["train"]["samples"] == len(keys) - 1
    assert told["splits"]["train"]["dropped"] == {"no_caption": 1}


def test_each_tar_is_counted_hashed_and_chained_to_its_shard(captioned: Curate, pictures: Path):
    told, sizes = index_of(pictures), json.loads((pictures / "sizes.json").read_text())
    tars = sorted(p.name for p in pictures.glob("*.tar"))
    assert list(sizes) == tars == sorted(told["splits"]["train"]["tars"])
    for name, its in told["splits"]["train"]["tars"].items():
        data = (pictures / name).read_bytes()
        assert (its["bytes"], its["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        with tarfile.open(pictures / name) as tar:
            assert sizes[name] == its["samples"] == len([n for n in tar.getnames() if n.endswith(".txt")]) > 0
        shard = captioned.folder / "shards" / its["shard"]
        assert told["of"]["shards"][its["shard"]] == hashlib.sha256(shard.read_bytes()).hexdigest()
    index = json.loads((captioned.folder / "shards" / "index.json").read_text())
    assert told["of"]["content_sha256"] == index["content_sha256"]


def test_a_picture_is_its_pixels_by_the_rule_that_is_stated(pictures: Path):
    its = members_of(pictures)[tiny.name(1, 1)]
    assert list(its) == ["png", "txt", "json"]
    picture = np.asarray(Image.open(io.BytesIO(its["png"])))
    stored = np.stack([tiny.crop(tiny.dn(b, 10), 10, 1, 1) for b in ("B04", "B03", "B02")], -1).astype(float)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, 1 + np.round(254 * np.clip((stored - 1500) / 1000, 0, 1)))
    rule = index_of(pictures)["rendering"]
    assert [(c["name"], c["low"], c["high"]) for c in rule["channels"]] == [
        ("red", 1500, 2500), ("green", 1500, 2500), ("blue", 1500, 2500)
    ]  # fmt: skip
    assert (rule["source"], rule["season"], rule["unit"]) == ("s2l2a", "summer", "reflectance × 10000")


def test_what_is_said_beside_a_picture_is_what_the_sample_says(captioned: Curate, pictures: Path):
    its = members_of(pictures)[tiny.name(1, 1)]
    assert its["txt"].decode() == f"a field at {tiny.name(1, 1)}"
    facts = json.loads(its["json"])
    assert facts["captions"] == [f"a field at {tiny.name(1, 1)}", "grün"]
    assert facts["caption_sources"] == ["where", ["worldcover", 2021]]
    assert facts["datetime"] == "2021-07-10T10:30:00Z"
    assert facts["bands"] == ["s2.b04", "s2.b03", "s2.b02"]
    assert facts["wavelengths"] == [0.6646, 0.5598, 0.4924]
    assert facts["fractions_of"] == "summer"
    assert facts["fractions"] == pytest.approx({**dict.fromkeys(facts["fractions"], 0.0), "trees": 0.75, "crops": 0.25})
    place = open_shards(captioned.folder, fields=[]).by_id()[tiny.name(1, 1)]
    assert (facts["lon"], facts["lat"]) == (pytest.approx(float(place["lon"])), pytest.approx(float(place["lat"])))
    assert facts["licence"] == captioned.dataset.specs["s2l2a"].licence
    assert facts["valid_fraction"] == 1.0


@UNCLOSED
def test_stock_webdataset_reads_each_sample_once(pictures: Path):
    told = index_of(pictures)["splits"]["train"]
    rows = read_by_webdataset(pictures, lambda its: its.decode("pilrgb").to_tuple("__key__", "png", "txt", "json"))
    assert (
        len({key for key, *_ in rows})
        == len(rows)
        == told["samples"]
        == sum(json.loads((pictures / "sizes.json").read_text()).values())
    )
    assert all(image.size == (48, 48) and text == facts["captions"][0] for _, image, text, facts in rows)


def test_pixels_without_data_are_black_and_counted_and_too_many_of_them_no_picture(captioned: Curate, tmp_path: Path):
    mine = captioned.copy(tmp_path / "root")
    path = mine.folder / "shards" / "index.json"
    # A value of B04 becomes the nodata of the index: so often as (1, 1) has it.
    rows = {at: tiny.crop(tiny.dn("B04", 10), 10, *at) for at in ((1, 1), (0, 0))}
    value = int(np.bincount(rows[1, 1].ravel()).argmax())
    index = json.loads(path.read_text())
    index["arrays"]["s2l2a_10m"]["nodata"] = value
    path.write_text(json.dumps(index))
    share = {at: float((pixels != value).mean()) for at, pixels in rows.items()}
    assert 0.9 < share[1, 1] < 1
    assert view(mine, "clip", tmp_path / "all", "--bands", "B04,B04,B04", "--image", "png") == 0
    its = members_of(tmp_path / "all")[tiny.name(1, 1)]
    picture = np.asarray(Image.open(io.BytesIO(its["png"])))
    assert np.array_equal(picture[..., 0] == 0, rows[1, 1] == value)
    assert json.loads(its["json"])["valid_fraction"] == round(share[1, 1], 4)
    least = (share[1, 1] + 1) / 2
    assert view(mine, "clip", tmp_path / "most", "--bands", "B04,B04,B04", "--least-valid", str(least)) == 0
    dropped = index_of(tmp_path / "most")["dropped"]["few_valid"]
    assert dropped[tiny.name(1, 1)] == round(share[1, 1], 4)
    assert (tiny.name(0, 0) in dropped) is (share[0, 0] < least)
    assert tiny.name(1, 1) not in members_of(tmp_path / "most")


def test_killed_between_two_tars_the_same_command_ends_where_an_undisturbed_run_does(
    captioned: Curate, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    with monkeypatch.context() as patch:
        fills_up(patch, ".tar", 3)
        assert view(captioned, "clip", tmp_path / "out", *PNG) == 1
    assert not (tmp_path / "out" / "view.json").exists()
    assert view(captioned, "clip", tmp_path / "out", *PNG) == 0

    assert files_of(tmp_path / "out") == files_of(pictures)
    capsys.readouterr()
    assert view(captioned, "clip", tmp_path / "out", *PNG[:2]) == 2  # other limits
    assert "holds another export (settings" in capsys.readouterr().err


@pytest.mark.slow
def test_shards_that_are_packed_anew_leave_what_a_new_view_has_and_nothing_else(captioned: Curate, tmp_path: Path):
    mine = own(captioned, tmp_path / "own", "")
    shutil.copy(captioned.world.folder / "mine.py", mine.world.folder)
    alone = (*PNG, "--per-tar", "1")
    assert view(mine, "clip", tmp_path / "out", *alone) == 0
    text = mine.world.recipe.read_text()
    for size in (
        7,
        3,
        5,
    ):  # tars of a number are of another shard then: more of the first one, or of shards that are no more
        mine.world.recipe.write_text(text.replace("samples_per_shard = 5", f"samples_per_shard = {size}"))
        assert mine("pack", "--run-code") == 0
        assert view(mine, "clip", tmp_path / "out", *alone) == 0
        assert view(mine, "clip", tmp_path / f"new-{size}", *alone) == 0
        assert files_of(tmp_path / "out") == files_of(tmp_path / f"new-{size}")


def test_without_another_place_it_lies_beside_the_shards_and_is_no_rubbish(captioned: Curate, tmp_path: Path, capsys):
    mine = captioned.copy(tmp_path / "root")
    assert mine("view", "clip", "--scheduler", "none") == 0
    assert (mine.folder / "clip" / "view.json").is_file()
    files = {f for f in mine.folder.rglob("*") if f.is_file()}
    assert mine("gc", "--delete", "--cubes") == 0
    assert mine("verify") == 0
    assert {f for f in mine.folder.rglob("*") if f.is_file()} == files
    capsys.readouterr()
    assert mine("view", "clip", "--scheduler", "none", "--to", "http://me:PASS1@h/?sig=TOKEN1") == 2
    said = capsys.readouterr().err
    assert "PASS1" not in said
    assert "TOKEN1" not in said


def test_limits_are_those_of_the_dataset_whichever_samples_are_asked_for(captioned: Curate, tmp_path: Path):
    assert view(captioned, "clip", tmp_path / "one", "--limit", "1", "--percentiles", "5,95") == 0
    assert view(captioned, "clip", tmp_path / "all", "--percentiles", "5,95") == 0
    one, all_ = index_of(tmp_path / "one"), index_of(tmp_path / "all")
    assert (one["splits"]["train"]["samples"], one["rendering"]) == (1, all_["rendering"])
    keys = [str(k) for batch in open_shards(captioned.folder, fields=[], batch_size=1) for k in batch["key"]]
    at = {tiny.name(r, c): (r, c) for r in range(5) for c in range(5)}
    pixels = np.stack([tiny.crop(tiny.dn("B04", 10), 10, *at[key]) for key in keys])
    low, high = np.percentile(pixels, (5, 95))
    red = all_["rendering"]["channels"][0]
    assert (red["low"], red["high"]) == (pytest.approx(low, abs=2), pytest.approx(high, abs=2))
    (key,) = members_of(tmp_path / "one")
    assert members_of(tmp_path / "one")[key] == members_of(tmp_path / "all")[key]


def test_measured_pixels_are_those_that_the_index_names(captioned: Curate, tmp_path: Path):
    mine = captioned.copy(tmp_path / "root")
    shard = min((mine.folder / "shards/train").glob("*.tar"))
    with tarfile.open(shard) as tar:
        its, other = (next(m for m in tar if f"s2l2a_{n}m.summer" in m.name) for n in (10, 20))
    whole = bytearray(shard.read_bytes())
    data = whole.copy()
    data[its.offset_data + its.size // 2] ^= 1
    shard.write_bytes(data)
    made = curation.load(mine.world.recipe, mine.root, scheduler="none")
    with pytest.raises(DamageError, match="not the member that the index names"):
        made.view("clip", tmp_path / "out")
    whole[other.offset_data + other.size // 2] ^= 1  # which is not measured
    shard.write_bytes(whole)
    with pytest.raises(CurationError, match=r"could not be exported.*sha256"):
        made.view("clip", tmp_path / "out")


def test_a_dry_run_says_how_much_and_writes_nothing(captioned: Curate, tmp_path: Path, capsys):
    assert view(captioned, "clip", tmp_path / "out", "--dry-run", "--bands", "radar") == 0
    said = capsys.readouterr()
    assert "clip: train: " in said.out
    assert "channels: VV -" in said.out
    assert "nothing is written" in said.out
    assert "--per-tar" in said.err, "fewer tars than readers are warned of"
    assert not (tmp_path / "out").exists()
    assert view(captioned, "clip", tmp_path / "out", "--dry-run", "--readers", "1") == 0
    assert "--per-tar" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("clip", "--bands", "B02,B03"), "expected three channels"),
        (("clip", "--bands", "B02,B03,B99"), "no band 'b99'"),
        (("clip", "--source", "dem"), "no bands that make an image by default"),
        (("clip", "--source", "s2l1a"), "did you mean s2l2a?"),
        (("clip", "--season", "sumer"), "did you mean summer?"),
        (("clip", "--caption", "word"), "did you mean words?"),
        (("clip", "--image", "gif"), "expected jpg, png, webp"),
        (("clip", "--percentiles", "98,2"), "the lower one first"),
        (("clip", "--least-valid", "0"), "above 0, to 1"),
        (("clip", "--gamma", "0"), "expected above 0"),
        (("clip", "--bands", "radar", "--limits=-2500:0,-3200:-500,5:15"), "of VH: next to no pixel lies between"),
        (("dofa-clip", "--bands", "VV-VH"), "DOFA has no wavelength"),
        (("clop",), "did you mean clip?"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(captioned: Curate, tmp_path: Path, capsys, flags, why):
    assert view(captioned, flags[0], tmp_path / "out", *flags[1:]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_caption_of_text_is_its_own_and_json_of_another_form_is_told(captioned: Curate, tmp_path: Path, capsys):
    assert view(captioned, "clip", tmp_path / "words", "--caption", "words", "--limit", "2") == 0
    for its in members_of(tmp_path / "words").values():
        facts = json.loads(its["json"])
        assert (facts["captions"], facts["caption_sources"]) == ([its["txt"].decode()], ["words"])
    assert view(captioned, "clip", tmp_path / "facts", "--caption", "facts") == 1
    assert 'expected {"captions": [text, …]' in capsys.readouterr().err


def test_where_nothing_has_a_text_there_is_no_view(built: Curate, captioned: Curate, tmp_path: Path, capsys):
    assert view(built, "clip", tmp_path / "out") == 2
    assert "write [annotations.caption]" in capsys.readouterr().err
    assert view(captioned, "clip", tmp_path / "none", "--select", f"id = {TEXTLESS}") == 1
    assert "no sample makes a pair of image and text: no_caption 1" in capsys.readouterr().err
    assert not (tmp_path / "none" / "view.json").exists()


def test_from_python_too_a_tar_has_a_sample_at_least():
    with pytest.raises(ConfigError, match="--per-tar 0: expected"):
        ViewWish(per_tar=0)


TEXT, JSON = AnnotationEntry("t", "text", ()), AnnotationEntry("t", "json", ())


def test_which_annotation_has_the_texts():
    assert captions.named({"captions": JSON, "caption": TEXT}, None) == "captions"
    assert captions.named({"facts": JSON, "caption": TEXT, "other": TEXT}, None) == "caption"
    assert captions.named({"facts": JSON, "mine": TEXT}, None) == "mine"
    assert captions.named({"captions": JSON, "mine": TEXT}, "mine") == "mine"
    with pytest.raises(ConfigError, match="several texts: a, b: name one"):
        captions.named({"a": TEXT, "b": TEXT}, None)


@pytest.mark.parametrize(
    "value",
    [[], {}, {"captions": "a"}, {"captions": ["a", " "]}, {"captions": ["a"], "sources": []}, {"captions": [1]}],
)
def test_captions_of_another_form_are_no_captions(value):
    with pytest.raises(CurationError, match="expected"):
        captions.of_member("captions", JSON, json.dumps(value).encode() + b"\n", "here")


def test_what_is_said_of_the_image_s_season_comes_before_what_is_said_of_all():
    value = {
        "captions": ["always"],
        "sources": [1],
        "seasons": {"summer": {"captions": ["hot", "dry"], "sources": [2, 3]}},
    }
    data = json.dumps(value).encode() + b"\n"
    made = {s: captions.of_member("c", JSON, data, "here", s) for s in ("summer", "winter", None)}
    assert [m and (m.texts, m.sources) for m in made.values()] == [
        (("hot", "dry"), (2, 3)), (("always",), (1,)), (("always",), (1,))
    ]  # fmt: skip


def test_tars_that_are_not_there_leave_a_gap_that_trainers_step_over():
    assert urls("train", [f"train-{n:06d}.tar" for n in (0, 1, 2, 4, 6, 7)]) == (
        "train-{000000..000002}.tar::train-000004.tar::train-{000006..000007}.tar"
    )
    result = ViewResult("clip", [], {}, {}, {"train": "a-{0..2}.tar::a-4.tar"}, {}, 0, "s3://b/clip")
    assert result.notes()[-1] == "train: s3://b/clip/a-{0..2}.tar::s3://b/clip/a-4.tar"


@pytest.mark.parametrize("name", ["JPG", "a.jpg", "", "a-b"])
def test_members_are_called_so_that_each_reader_finds_them(name: str):
    with pytest.raises(ConfigError, match="expected a-z and 0-9 alone"):
        write_view([Sample("key", {name: b""})])
    with pytest.raises(ConfigError, match="sample key"):
        write_view([Sample("a.key", {"jpg": b""})])


@pytest.mark.parametrize(("image", "off"), [("jpg", 6), ("png", 0), ("webp", 0)])
def test_pictures_are_what_they_say_they_are(image: str, off: int):
    y, x = np.mgrid[:48, :48]
    picture = np.stack([5 * y, 5 * x, 2 * (x + y)], -1).astype(np.uint8)
    file = Image.open(io.BytesIO(clip.encoded(picture, image)))
    assert file.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[image]
    assert np.abs(np.asarray(file.convert("RGB")).astype(int) - picture).max() <= off


# ---- DOFA-CLIP -------------------------------------------------------------------------------------------------------


@UNCLOSED
def test_all_bands_are_in_an_image_and_its_wavelengths_and_place_need_no_eval(captioned: Curate, tmp_path: Path):
    to = tmp_path / "dofa"
    assert view(captioned, "dofa-clip", to, "--limits", "1000:3000") == 0
    rule, every = index_of(to)["rendering"], members_of(to)
    names = [c["name"] for c in rule["channels"]]
    assert len(names) == len(tiny.ORDER) == len(rule["wavelengths_um"]) > 4
    bands = [n.removeprefix("s2.").upper() for n in names]
    assert dict(zip(bands, rule["wavelengths_um"], strict=True))["B08"] == 0.842
    for its in every.values():
        assert list(its) == ["image", "text", "wavelength", "geoloc", "json"]
        for name in ("wavelength", "geoloc"):
            text = its[name].decode()
            assert ast.literal_eval(text) == json.loads(text)
        assert json.loads(its["wavelength"]) == rule["wavelengths_um"], "one list in any batch"
        facts = json.loads(its["json"])
        assert json.loads(its["geoloc"]) == [facts["lon"], facts["lat"]]
        assert its["text"].decode() == facts["captions"][0]
    image = np.load(io.BytesIO(every[tiny.name(1, 1)]["image"]), allow_pickle=False)
    assert (image.dtype, image.shape) == (np.float32, (48, 48, len(bands)))
    for channel, band in enumerate(bands):
        res_m = next(r for r, of in tiny.BANDS.items() if band in of)
        fine = np.kron(tiny.crop(tiny.dn(band, res_m), res_m, 1, 1), np.ones((res_m // 10, res_m // 10)))
        assert np.allclose(image[..., channel], 255 * np.clip((fine - 1000) / 2000, 0, 1), atol=1e-4)
    assert {row["__key__"] for row in read_by_webdataset(to, lambda its: its)} == set(every)


def test_four_channels_are_warned_of_since_their_own_loader_cuts_them(captioned: Curate, tmp_path: Path, capsys):
    assert view(captioned, "dofa-clip", tmp_path / "o", "--bands", "B02,B03,B04,B08", "--dry-run") == 0
    assert "drops the last and keeps its wavelength" in capsys.readouterr().err
    assert view(captioned, "dofa-clip", tmp_path / "o", "--source", "s1rtc", "--dry-run") == 0
    said = capsys.readouterr()
    assert "drops the last" not in said.err
    assert "s1.vv" in said.out


def test_members_are_measured_evenly_over_train(captioned: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of more images than are measured the first and the last are among them."""
    read: list[int] = []
    before = limits.read_member

    def noted(*args):
        read.append(int(args[3]))
        return before(*args)

    monkeypatch.setattr(limits, "read_member", noted)
    monkeypatch.setattr(limits, "MOST_IMAGES", 2)
    made = curation.load(captioned.world.recipe, captioned.root, scheduler="none")
    made.view("clip", tmp_path / "out", season="summer", dry_run=True)
    assert len(read) == 2
    shutil.rmtree(tmp_path)
    assert read[1] - read[0] > 10
