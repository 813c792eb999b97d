import pickle

from curation.errors import causes


def raised() -> BaseException:
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second\nof two lines")  # noqa: B904 - as it happens
    except ValueError as err:
        try:
            raise OSError("third https://host/a?sig=SECRET Debug source: Insides") from err
        except OSError as last:
            return last


WHOLE = "OSError: third https://host/a; caused by ValueError: second of two lines; caused by KeyError: 'first'"


def test_a_cause_is_all_that_an_error_was_raised_from():
    assert causes.whole(raised()) == WHOLE


def test_what_an_error_was_raised_from_survives_pickling():
    err = raised()
    causes.keep(err)
    assert causes.whole(pickle.loads(pickle.dumps(err))) == WHOLE


def test_a_chain_that_leads_back_ends():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert causes.whole(one) == "ValueError: one; caused by ValueError: two"


def test_what_is_suppressed_is_not_told():
    err = ValueError("told")
    err.__context__, err.__suppress_context__ = KeyError("hidden"), True  # raised "from None"
    assert causes.whole(err) == "ValueError: told"
