import pytest

from curation.work import fitness, probe

HERE = {"host": "a", "curation": "0.1.0", "sources": "f" * 64, "lacks": "", "what": ""}


NO_GDAL = {"lacks": "curation.build.slab", "what": "ImportError: no libgdal"}
FAR = {"lacks": "server", "what": "ConnectionRefusedError: refused"}
DENIED = {"lacks": "store", "what": "Denied: https://u:p@h/b?sig=s"}


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ({}, ""),
        ({"curation": "0.0.9"}, "runs curation 0.0.9, this is 0.1.0"),
        ({"sources": "0" * 64}, "runs other sources of curation 0.1.0"),
        (NO_GDAL, "cannot import curation.build.slab (ImportError: no libgdal)"),
        (FAR, "cannot reach the catalog (ConnectionRefusedError: refused), which is served at 127.0.0.1:7 for its own"),
        (DENIED, "cannot read and write s3://b as this machine does (Denied: https://h/b)"),
    ],
)
def test_what_a_machine_lacks_is_told(theirs, why):
    told = fitness.of_answer(HERE | theirs, HERE, "s3://b", "127.0.0.1:7")
    assert (told == "") == (why == "")
    assert told.startswith(why)


def test_a_machine_without_the_package_is_told():
    theirs = {"host": "b", "lacks": "curation", "what": "ModuleNotFoundError: No module named 'curation'"}
    assert fitness.of_answer(theirs, HERE) == (
        "has no curation, cannot import it (ModuleNotFoundError: No module named 'curation'): install curation 0.1.0 there"
    )


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ({"python": "3.11.2.final.0", "dask": "1", "distributed": "1"}, ""),
        ({"python": "3.12.0.final.0", "dask": "1", "distributed": "1"}, "runs Python 3.12.0, this is 3.11.7"),
        ({"python": "3.11.7.final.0", "dask": "2", "distributed": "1"}, "runs dask 2, this is 1"),
        ({"python": "3.11.7.final.0", "dask": "1", "distributed": None}, "runs distributed None, this is 1"),
    ],
)
def test_versions_that_have_to_be_alike_are(theirs, why):
    told = fitness.of_versions(theirs, {"python": "3.11.7.final.0", "dask": "1", "distributed": "1"})
    assert (told == "") == (why == "")
    assert told.startswith(why)


def test_what_is_sent_as_text_says_what_is_said_here():
    modules = ("curation.store.objects",)
    assert eval(probe.as_text(modules, None, on_worker=False)) == probe.versions(modules)
    assert probe.versions(modules)["lacks"] == ""


def test_a_module_that_cannot_be_imported_is_what_is_lacking():
    said = eval(probe.as_text(("curation.store.objects", "curation.nothing"), None, on_worker=False))
    assert (said["lacks"], said["what"]) == (
        "curation.nothing",
        "ModuleNotFoundError: No module named 'curation.nothing'",
    )
