"""A program that is asked line by line: one JSON object in, one out.

It is started for the first one, and again after it was stopped.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from curation.errors import ConfigError
from curation.errors.causes import one_line
from curation.format.strict import json_of

MOST_BYTES = 1 << 20
"""Of an answer: captions are a few lines."""

GRACE_S = 5.0
"""How long a program may take to end once nothing more is asked."""

ENDING_S = 1.0
"""How long is waited for the exit code of one that has closed its output."""


class Trouble(StrEnum):
    """Why there is no answer."""

    DIED = "program_died"
    """It ended, or closed its output, before it answered."""
    TIMEOUT = "timeout"
    """It did not answer in time, and was stopped."""
    GARBAGE = "garbage"
    """What it wrote is no JSON object on a line of its own, or a longer one than captions are."""
    OTHER_KEY = "other_key"
    """It answered for another sample."""


class ProgramError(Exception):
    """There is no answer."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        self.trouble = trouble
        super().__init__(f"{trouble.value}: {detail}")


class Program:
    """The program. What it writes to standard error goes to ours: nothing of it is kept, for it may hold secrets."""

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._command, self._timeout_s = list(command), timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(GRACE_S if kind is None else 0)

    def ask(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its answer to one question, which has the same `key`. After trouble it is started anew for the next one.

        Raises:
            ProgramError: there is none; of what kind is told.
            ConfigError: it cannot be started.
        """
        if self._process is None:
            self._start()
        line = json.dumps(question, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        try:
            answer = _object(self._exchanged(line))
            if answer.get("key") != question["key"]:
                raise ProgramError(Trouble.OTHER_KEY, "the answer has another 'key' than the question")
        except ProgramError:
            self._end(0)  # what it still writes would be taken for the answer to the next question
            raise
        return answer

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as err:
            raise ConfigError(f"--command: {self._command[0]}: cannot be started: {one_line(err)}") from err
        self._read = b""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def _exchanged(self, line: bytes) -> bytes:
        """The line that comes back. It is read while the question is written: a program may do both at the same time."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin.fileno(), process.stdout.fileno()
        until = time.monotonic() + self._timeout_s
        with selectors.DefaultSelector() as ready:
            ready.register(out, selectors.EVENT_READ)
            ready.register(into, selectors.EVENT_WRITE)
            while line or b"\n" not in self._read:
                found = ready.select(max(until - time.monotonic(), 0))
                if not found:
                    raise ProgramError(Trouble.TIMEOUT, f"no answer within {self._timeout_s:g} s: it was stopped")
                for key, _ in found:
                    if key.fd == into:
                        line = line[self._written(line) :]
                        if not line:
                            ready.unregister(into)
                    else:
                        self._take(out)
        answer, _, self._read = self._read.partition(b"\n")
        return answer

    def _written(self, line: bytes) -> int:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            return os.write(self._process.stdin.fileno(), line)
        except BlockingIOError:
            return 0
        except BrokenPipeError as err:
            raise ProgramError(Trouble.DIED, self._how_it_ended()) from err

    def _take(self, out: int) -> None:
        data = os.read(out, 1 << 16)
        if not data:
            raise ProgramError(Trouble.DIED, self._how_it_ended())
        self._read += data
        if len(self._read) > MOST_BYTES:
            raise ProgramError(Trouble.GARBAGE, f"more than {MOST_BYTES} bytes")

    def _how_it_ended(self) -> str:
        assert self._process is not None
        try:
            return f"it ended with exit code {self._process.wait(ENDING_S)}"
        except subprocess.TimeoutExpired:
            return "it closed its output"

    def _end(self, grace_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json_of(line)
    except ValueError as err:
        raise ProgramError(Trouble.GARBAGE, f"no JSON: {one_line(err)}") from err
    if not isinstance(value, dict):
        raise ProgramError(Trouble.GARBAGE, f"got {type(value).__name__}, expected an object")
    return value
