"""What tests of builds share."""

from pathlib import Path

import pytest

from tests.build.dates import Dates


@pytest.fixture
def dates(tmp_path: Path) -> Dates:
    return Dates(tmp_path)
