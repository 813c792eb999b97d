"""Guards, and that tests notice where one is gone: rows by room in `rooms/`, tried by `python -m tests.mutants`."""
