"""The example of images and texts: what it counts is what it says, and it learns where there is something to learn."""

import itertools
import math
import random

import pytest
import torch
from torch.nn import functional

from curation.errors import ConfigError
from curation.examples import retrieval
from tests.stream.conftest import make_shards

TINY = [
    "--season",
    "summer",
    "--epochs",
    "2",
    "--batch-size",
    "4",
    "--seeds",
    "0",
    "1",
    "--width",
    "16",
    "--side",
    "16",
]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Mostly woodland, 15 km south-west of Venlo, in July 2021.", "Mostly woodland, , in July 2021."),
        ("Seen from above: crops in the north-east.", "Seen from above: crops in the north-east."),
        ("As seen by Sentinel-2, in Brazil, close to São Paulo.", "As seen by Sentinel-2, in , close to ."),
        ("Crops at an altitude of 1,730 m, in a warm temperate climate.", "Crops at an altitude of , in a ."),
        ("Crops, in a cold climate with snowy winters.", "Crops, in ."),
    ],
)
def test_words_of_place_go_and_what_is_on_the_picture_stays(text: str, left: str):
    assert retrieval.without_place(text) == left


def test_grams_are_words_and_runs_of_them():
    assert retrieval.grams("Crops in the East, 2.") == [
        *("crops", "in", "the", "east", "2"),
        *("crops in", "in the", "the east", "east 2"),
        *("crops in the", "in the east", "the east 2"),
    ]


def test_the_loss_is_that_of_the_formula_where_two_texts_are_the_same():
    draw = torch.Generator().manual_seed(0)
    u, v = (functional.normalize(torch.randn(3, 4, generator=draw), dim=1) for _ in range(2))
    texts, scale = ["a", "b", "a"], torch.tensor(math.log(5.0))
    total = 0.0
    for one, other in ((u, v), (v, u)):
        for i, j in itertools.product(range(3), range(3)):
            dots = [5 * float(one[i] @ other[k]) for k in range(3)]
            target = (texts[i] == texts[j]) / sum(t == texts[i] for t in texts)
            total -= target * (dots[j] - math.log(sum(map(math.exp, dots)))) / 3 / 2
    assert retrieval.pair_loss(u, v, texts, scale).item() == pytest.approx(total, rel=1e-5)


def test_ties_count_against_and_any_right_one_will_do():
    likeness = torch.tensor(
        [[3.0, 2.0, 1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [9.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
    )
    right = torch.tensor([[0, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]]).bool()
    assert retrieval.hits(likeness, right).tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 1]]


def test_chance_is_what_blind_draws_come_to():
    right = torch.zeros(2, 12, dtype=torch.bool)
    right[0, 0] = right[1, :4] = True
    draw = random.Random(0)
    for row, found in zip(right.tolist(), retrieval.chance(right).tolist(), strict=True):
        for k, value in zip(retrieval.AT, found, strict=True):
            blind = sum(any(row[i] for i in draw.sample(range(12), k)) for _ in range(4000)) / 4000
            assert value == pytest.approx(blind, abs=0.03)


def test_the_same_words_of_two_places_are_right_for_both_and_a_place_counts_once():
    u = functional.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), dim=1)
    texts, of = ["field", "sea", "field", "sea shore", "wet"], [0, 2, 1, 2, 2]
    v = functional.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.1], [0.1, 1.0]]), dim=1)
    found = retrieval.retrieved(u, v, of, texts)
    finds, blind = found["text to image"]
    # Of the third place two texts of three find it first.
    assert finds[:, 0].tolist() == pytest.approx([1, 1, 2 / 3])
    assert blind[:, 0].tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    back, blind = found["image to text"]
    assert back[:, 0].tolist() == [1, 0, 1]  # the second is nearer to the words of another
    assert blind[:, 0].tolist() == [1 / 4, 1 / 4, 3 / 4]


def test_intervals_are_of_places():
    mean, low, high = retrieval.interval(torch.tensor([0.0, 1.0]).repeat(50).double())
    assert mean == 0.5
    assert 0.35 < low < 0.45 < 0.55 < high < 0.65
    assert retrieval.interval(torch.ones(7).double()) == (1.0, 1.0, 1.0)


def test_texts_are_those_of_the_season_where_there_are_such():
    value = {"captions": ["always"], "seasons": {"summer": {"captions": ["hot", "dry"]}}}
    assert retrieval.texts_of(value, "summer") == ["hot", "dry"]
    assert retrieval.texts_of(value, "winter") == ["always"]
    assert (retrieval.texts_of("one", "x"), retrieval.texts_of("", "x"), retrieval.texts_of(None, "x")) == (
        ["one"],
        [],
        [],
    )


def test_a_model_finds_what_texts_tell_of_pixels_in_places_that_it_has_not_seen():
    """Images of one colour and of stripes, and the words for them."""
    draw = torch.Generator().manual_seed(1)

    def pictures(count: int) -> tuple[torch.Tensor, list[str]]:
        kinds = torch.randint(4, (count,), generator=draw)
        images = torch.randn(count, 2, 16, 16, generator=draw) * 0.1
        for image, kind in zip(images, kinds.tolist(), strict=True):
            image[kind % 2] += 1.0 if kind < 2 else torch.arange(16).remainder(4)[:, None] / 2
        return images, [("plain " if k < 2 else "striped ") + ("red" if k % 2 else "blue") for k in kinds.tolist()]

    torch.manual_seed(0)
    images, texts = pictures(32)
    model = retrieval.Pair(2, texts, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(16):
        loss = retrieval.pair_loss(model.images(images), model.texts(texts), texts, model.scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, texts = pictures(24)
    with torch.no_grad():
        found = retrieval.retrieved(model.images(images), model.texts(texts), range(24), texts)
        prompts = retrieval.zero_shot(
            model, model.images(images), ["plain red", "striped red", "plain blue", "striped blue"]
        )
    assert found["text to image"][0][:, 0].mean() > 0.9 > found["text to image"][1][:, 0].mean() + 0.3
    names = ["plain red", "striped red", "plain blue", "striped blue"]
    assert sum(names[i] == t for i, t in zip(prompts.tolist(), texts, strict=True)) > 20


def said(split: str, number: int) -> dict:
    """Two texts, of which one is that of other places, too; nothing of the last of val."""
    texts = [] if (split, number) == ("val", 5) else [f"Land {number % 3} near Oz.", "Ground of some kind."]
    return {"captions": texts, "sources": ["x"] * len(texts)}


def test_the_command_trains_and_tells_each_figure_beside_chance(tmp_path, capsys):
    make_shards(tmp_path / "shards", {"train": [6, 6], "val": [6]}, texts=said)
    found = retrieval.run(retrieval.arguments([str(tmp_path / "shards"), *TINY]))
    told = capsys.readouterr().out
    assert "12 places of train, 5 of val; 10 texts of val, 4 different" in told
    for kind in ("all words", "without words of place"):
        for way in ("text to image", "image to text"):
            assert found[f"{way}; {kind}"].shape == (5, 3)
            assert found[f"{way}, chance; {kind}"].max() <= 1
        for name in ("zero-shot", "linear probe", "probe, untrained", "most frequent"):
            assert set(found[f"class, {name}; {kind}"].unique().tolist()) <= {0.0, 0.5, 1.0}, "the mean of two seeds"
    assert told.count("(") == 2 * (4 * 3 + 4)


def test_what_cannot_be_trained_on_is_one_line(tmp_path, packed, capsys):
    assert retrieval.main([str(packed), *TINY]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    make_shards(tmp_path / "shards", {"train": [4], "val": [2]}, texts=said)
    assert retrieval.main([str(tmp_path / "shards"), "--source", "dem", *TINY]) == 2
    assert "it has s1rtc, s2l2a" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no captions; name an annotation"):
        retrieval.run(retrieval.arguments([str(tmp_path / "shards"), "--caption", "other", *TINY]))
