"""What of a source is drawn, and how it is told; why there is nothing to draw."""

import pytest

from curation.errors.codes import Code
from curation.outcomes import SourceOutcome, Status
from curation.report import panels


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (SourceOutcome(Status.REJECTED, Code.CLOUDY, 0.5), "rejected: cloudy (clear fraction 0.5). No covering scene "),
        (
            SourceOutcome(Status.FAILED, Code.LOCAL_HREF, cause="LocalHrefError: /etc/x: lies outside"),
            "LocalHrefError: /etc/x: lies outside.",
        ),
        (SourceOutcome(Status.FAILED, "ReadError", cause="ReadError: gone"), "failed: ReadError. ReadError: gone."),
        (SourceOutcome(Status.FAILED, "ReadError"), "failed: ReadError"),
    ],
)
def test_a_reason_is_told_with_what_its_code_means_and_with_the_errors_own_words(outcome, told):
    assert told in panels.reason(outcome)
    assert not outcome.cause or outcome.cause in panels.reason(outcome)
