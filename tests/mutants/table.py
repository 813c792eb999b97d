"""All rows: those of each file in `rooms/`."""

from __future__ import annotations

import importlib
import pkgutil

from tests.mutants import rooms
from tests.mutants.row import Mutant

TABLE: tuple[Mutant, ...] = tuple(
    row
    for module in sorted(m.name for m in pkgutil.iter_modules(rooms.__path__))
    for row in importlib.import_module(f"tests.mutants.rooms.{module}").ROWS
)
