"""Guards of `errors`."""

from tests.mutants.row import Mutant

ROWS = (
    Mutant(
        "a forked worker finds the lock of known secrets free",
        "curation/errors/printable.py",
        "    os.register_at_fork(after_in_child=_after_fork)",
        "    pass",
        ("tests/store/test_afterwards.py::test_a_worker_that_is_forked_while_a_lock_is_held_finds_it_free",),
    ),
    Mutant(
        "user and password of a URL are not told",
        "curation/errors/printable.py",
        "        rest = _without_user(rest)\n",
        "        rest = rest + ''\n",
        ("tests/errors/test_printable.py::test_a_url_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "a query is not told where its URL begins elsewhere",
        "curation/errors/printable.py",
        '    text = _QUERY.sub(lambda found: _ended(found[0], lambda query: ""), text)\n',
        "",
        ("tests/errors/test_printable.py::test_a_text_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "a secret that a server repeats is not told",
        "curation/errors/printable.py",
        "    for secret in known:\n",
        "    for secret in ():\n",
        (
            "tests/errors/test_printable.py::test_a_secret_that_the_command_was_given_is_not_told_where_a_server_repeats_it",
        ),
    ),
    Mutant(
        "what a catalog says is printable before it is cut",
        "curation/errors/printable.py",
        "    return shortened(printable(ascii(value)), limit)",
        "    return shortened(ascii(value), limit)",
        ("tests/errors/test_printable.py::test_what_is_shown_in_part_is_printable_before_it_is_cut",),
    ),
    Mutant(
        "a URL that is cut off in its password has no host",
        "curation/errors/printable.py",
        'if scheme.lower() in ("http", "https") and not _has_host(rest):',
        "if False:",
        ("tests/errors/test_printable.py::test_a_text_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "user and password are told nowhere, where no slashes are, too",
        "curation/errors/printable.py",
        '_USER.sub("", text)',
        "text",
        ("tests/errors/test_printable.py::test_a_text_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "a URL without a scheme has a user, too",
        "curation/errors/printable.py",
        "(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:",
        "(?:([A-Za-z][A-Za-z0-9+.-]*):)(?:",
        ("tests/errors/test_printable.py::test_a_url_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "user and password of a URL in the path of another are not told",
        "curation/errors/printable.py",
        "    found = _INNER.search(path)\n",
        "    found = None\n",
        ("tests/errors/test_printable.py::test_a_url_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "nor are they where its characters are escaped",
        "curation/errors/printable.py",
        '    return found[0] if without == url else quote(without, safe="")',
        "    return found[0]",
        ("tests/errors/test_printable.py::test_a_url_is_told_without_what_lets_anybody_in",),
    ),
    Mutant(
        "space before an href hides no user",
        "curation/errors/printable.py",
        'r"\\s*(?:([A-Za-z]',
        'r"(?:([A-Za-z]',
        ("tests/errors/test_printable.py::test_space_before_an_href_keeps_no_secret",),
    ),
)
