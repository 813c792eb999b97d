"""A part of one satellite: its wavelengths, where each sample says that it is; nothing on trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.errors import ConfigError, DamageError
from curation.format.bands import BandEntry, ResponseEntry
from curation.stream import Part, open_mix
from tests.stream.mixes import ENTRIES, SEASONS, entry, pack, there

RED = BandEntry("s2.b04", 664.6, 31.0, kind="optical", platforms=(ResponseEntry("sentinel-2b", 664.9, 31.0),))
NIR = BandEntry("s2.b08", 832.8, 106.0, kind="optical", platforms=(ResponseEntry("sentinel-2b", 832.9, 106.0),))
SAMPLES = 70
ARRAYS = {"s2l2a_10m": entry("s2l2a", (RED, NIR), 8, 10.0), "dem_10m": ENTRIES["s2"]["dem_10m"]}


def packed(folder: Path, **of: Any) -> Path:
    """A dataset whose samples say of each season which satellite they are of: `winter`, `summer` → row → name."""
    told = {
        f"s2l2a_platform_{season}": [of[season](n) if k in there("s2l2a", n) else None for n in range(SAMPLES)]
        for k, season in enumerate(SEASONS)
        if season in of
    }
    pack(folder, "s2", SAMPLES, ARRAYS, told=told)
    return folder


def always(name: str | None) -> Any:
    return lambda number: name


def opened(folder: Path, platform: str | None, **how: Any) -> Any:
    part = Part(folder, **{"arrays": ["s2l2a_10m"]} | how, platform=platform)
    return open_mix({"a": part}, batch_size=8)


def test_wavelengths_and_signature_are_of_the_satellite_that_all_samples_are_of(tmp_path):
    folder = packed(tmp_path, winter=always("sentinel-2b"), summer=always("sentinel-2b"))
    plain, mine = opened(folder, None), opened(folder, "sentinel-2b")
    batch = next(iter(mine))
    assert batch["wavelength_nm"].tolist() == np.array([664.9, 832.9], np.float32).tolist()
    assert next(iter(plain))["wavelength_nm"].tolist() == np.array([664.6, 832.8], np.float32).tolist()
    (signature,), (other,) = mine.parts["a"].signatures, plain.parts["a"].signatures
    assert (signature.platform, other.platform) == ("sentinel-2b", None)
    assert signature.digest != other.digest


def test_what_has_no_satellite_beside_it_has_none_in_its_signature(tmp_path):
    folder = packed(tmp_path, winter=always("sentinel-2b"), summer=always("sentinel-2b"))
    mix = opened(folder, "sentinel-2b", arrays=["s2l2a_10m", "dem_10m"])
    assert [s.platform for s in mix.parts["a"].signatures] == ["sentinel-2b", None]
    assert np.isnan(next(iter(mix))["wavelength_nm"].tolist()[-1])


def test_images_of_another_satellite_are_refused_and_seasons_without_them_are_not(tmp_path):
    folder = packed(
        tmp_path, winter=lambda n: "sentinel-2a" if n % 10 == 0 else "sentinel-2b", summer=always("sentinel-2b")
    )
    winter = sum(0 in there("s2l2a", n) and n % 10 == 0 for n in range(SAMPLES))
    with pytest.raises(ConfigError, match=rf"'sentinel-2b': of the images of s2l2a_10m {winter} of sentinel-2a are"):
        opened(folder, "sentinel-2b")
    assert opened(folder, "sentinel-2b", seasons=["summer"]).parts["a"].signatures[0].platform == "sentinel-2b"


def test_an_image_that_does_not_say_its_satellite_is_of_none(tmp_path):
    folder = packed(tmp_path, winter=always("sentinel-2b"), summer=lambda n: None if n == 3 else "sentinel-2b")
    with pytest.raises(
        ConfigError, match=r"1 of none that is told are of other satellites.* where wavelengths of the first"
    ):
        opened(folder, "sentinel-2b")


def test_samples_that_tell_no_satellites_are_refused_with_what_to_do(tmp_path):
    folder = packed(tmp_path, summer=always("sentinel-2b"))
    with pytest.raises(ConfigError, match=r"do not say which satellite .* angles = true in \[sources.s2l2a\] of"):
        opened(folder, "sentinel-2b")
    with pytest.raises(ConfigError, match="none of its arrays is of a source with time"):
        opened(folder, "sentinel-2b", arrays=["dem_10m"])


@pytest.mark.parametrize("odd", [3, ["sentinel-2b"]], ids=str)
def test_a_table_that_tells_satellites_in_no_text_is_damaged(tmp_path, odd):
    folder = packed(tmp_path, winter=always("sentinel-2b"), summer=always(odd))
    with pytest.raises(DamageError, match=r"s2l2a_platform_summer of the samples table: .* is no text: pack again"):
        opened(folder, "sentinel-2b")


RADAR = {"s1rtc_10m": entry("s1rtc", tuple(BandEntry(n, kind="radar") for n in ("s1.vv", "s1.vh")), 8, 10.0)}


def test_a_part_of_radar_is_told_of_its_own_source_and_satellites(tmp_path):
    told = {f"s1rtc_platform_{s}": ["sentinel-1c"] * SAMPLES for s in SEASONS}
    pack(tmp_path / "told", "radar", SAMPLES, RADAR, told=told)
    pack(tmp_path / "untold", "radar", SAMPLES, RADAR)
    how = {"arrays": ["s1rtc_10m"]}
    with pytest.raises(ConfigError, match=r"angles = true in \[sources.s1rtc\]"):
        opened(tmp_path / "untold", "sentinel-1a", **how)
    said = r"of the images of s1rtc_10m \d+ of sentinel-1c .* and 0 of it: .* radar's frequency is the same"
    with pytest.raises(ConfigError, match=said):
        opened(tmp_path / "told", "sentinel-1a", **how)
    assert opened(tmp_path / "told", "sentinel-1c", **how).parts["a"].signatures[0].platform == "sentinel-1c"
