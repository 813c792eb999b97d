"""The shards of `tests/stream`, for programs that train on them."""

from tests.stream.conftest import copy, packed

__all__ = ["copy", "packed"]
