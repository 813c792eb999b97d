"""Sources as a recipe uses them: what one that is made of the shapes of places wants of the file of places."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from curation.errors import ConfigError
from curation.recipe import uses
from curation.recipe.files import folder
from curation.recipe.places import PlacesSpec
from curation.recipe.sources import SourceSpec

SHAPES = [word for part in get_args(PlacesSpec.model_fields["shapes"].annotation) for word in get_args(part)]


def placed(**places: Any) -> SourceSpec:
    spec = SourceSpec.model_validate(tomllib.loads((folder("stac_queries") / "place-mask.toml").read_text()))
    its = PlacesSpec.model_validate({"sampler": "file", "file": "a.gpkg", "regions": ["world"]} | places)
    return uses.placed(spec, its, Path("recipe.toml"))


def test_a_source_made_of_the_shapes_of_places_takes_every_kind_that_it_names_and_no_footprints():
    assert len(SHAPES) >= 3
    for word in SHAPES:
        form = placed(shapes=word, layer="b").catalogs["folder"].file
        assert form is not None
        assert (form.folder, form.layer) == ("a.gpkg", "b")
    with pytest.raises(ConfigError, match=r"\[sources.place-mask\] is made of the shapes of places") as err:
        placed()
    comment = (folder("stac_queries") / "place-mask.toml").read_text().partition("\nname")[0]
    for word in SHAPES:
        assert f"'{word}'" in str(err.value)
        assert f'"{word}"' in comment
