"""What tests of processes have in common."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import started
from tests.run import TOLD, ended


def running(code: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    return started([sys.executable, "-c", TOLD + code], stderr=subprocess.PIPE)


def test_what_a_process_said_that_has_ended():
    with running("sys = __import__('sys'); sys.stderr.write('said'); sys.exit(3)") as process:
        assert ended(process) == "said"
        assert process.returncode == 3


@pytest.mark.slow
def test_a_process_that_does_not_end_tells_where_it_stands(tmp_path: Path):
    (tmp_path / "scheduler.log").write_text("lost a worker")
    code = "import sys, time\nprint('begun', file=sys.stderr, flush=True)\ndef waits(): time.sleep(600)\nwaits()"
    with running(code) as process:
        assert process.stderr is not None
        with pytest.raises(AssertionError) as caught:
            ended(process, within_s=2, logs=tmp_path)
        assert process.poll() is not None
    told = str(caught.value)
    assert told.startswith("it did not end within 2 s (goes on); it said:\nbegun\n")
    assert " in waits\n" in told
    assert told.endswith("\nscheduler.log: lost a worker")


@pytest.mark.slow
def test_of_a_process_whose_standard_error_another_holds_it_is_told_that_it_has_ended():
    code = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(12)'])"
    with running(code) as process, pytest.raises(AssertionError, match=r"ended with 0 by then"):
        ended(process, within_s=3)
