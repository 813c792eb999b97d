"""A build from a catalog without Dynamic World, for what labels of files are put beside."""

import shutil
from pathlib import Path

import pytest

from tests.pack.labels.files import again, without_maps
from tests.run import Curate


@pytest.fixture(scope="module")
def bare(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """With nothing imported; nobody changes it."""
    curate = without_maps(built, tmp_path_factory.mktemp("bare"))
    assert curate("build", "--allow-unknown-labels") == 0
    return curate


@pytest.fixture
def mine(bare: Curate, tmp_path: Path) -> Curate:
    """A copy of one's own."""
    shutil.copytree(bare.root, tmp_path / "root")
    return again(bare, tmp_path / "root")
