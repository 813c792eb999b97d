"""How many examples a test of a property tries: few in the fast tests, all in the slow ones and for mutants."""

from hypothesis import settings

FAST, THOROUGH = 25, 100
"""Of a test that says nothing of its own, by profile: `curation` (the default) and `thorough` (`make test-slow`)."""


def examples(thorough: int) -> int:
    """So many in the thorough profile, the same share of them as of others in the fast one."""
    return max(thorough * settings().max_examples // THOROUGH, 1)
