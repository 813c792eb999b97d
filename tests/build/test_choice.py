"""Which candidate of several that failed tells why."""

import itertools

import pytest

from curation.build.choice import OF_MASK, Refusal, Stage, furthest
from curation.errors.codes import Code
from curation.outcomes import Reject

FAR = [
    (Stage.NODATA, Code.NODATA, 0.2),
    (Stage.NODATA, Code.NODATA, 0.9),
    (Stage.CLOUDY, Code.CLOUDY, 0.1),
    (Stage.CLOUDY, Code.CLOUDY, 0.8),  # the clearer
    (Stage.SNOWY, Code.SNOWY, 0.9),
    (Stage.SNOWY, Code.SNOWY, 0.6),  # the less snowy
    (Stage.DOUBTFUL, Code.DOUBTFUL, 0.9),
    (Stage.DOUBTFUL, Code.DOUBTFUL, 0.6),  # the less doubtful
    (Stage.PARTNER, Code.EXCLUDED, None),
    (Stage.PARTNER, Code.TIME_GAP, 40.0),
    (Stage.PARTNER, Code.TIME_GAP, 12.5),  # the nearer in time
    (Stage.PARTNER_PIXELS, Code.NODATA, 0.0),
    (Stage.PARTNER_PIXELS, Code.NODATA, 0.5),
    (Stage.BANDS, Code.OFFSET_CONFLICT, None),
    (Stage.BANDS, Code.NODATA, 0.3),
    (Stage.BANDS, Code.NODATA, 0.7),
]
"""From the one that came least far to the one that came furthest."""


@pytest.mark.parametrize(("less", "more"), list(itertools.combinations(FAR, 2)))
def test_of_two_the_one_that_came_further_tells_why(less, more):
    a, b = (Refusal(stage, "s", Reject(code, value)) for stage, code, value in (less, more))
    assert furthest([a, b]) is furthest([b, a]) is b


def test_of_those_that_came_as_far_the_first_tells_why():
    a, b = (Refusal(Stage.CLOUDY, name, Reject(Code.CLOUDY, 0.5)) for name in "ab")
    assert furthest([a, b]) is a


def test_the_stages_of_a_mask_are_in_the_order_in_which_it_is_judged():
    assert list(OF_MASK.values()) == sorted(OF_MASK.values())
