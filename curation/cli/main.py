"""The command `curate`."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

from obstore.exceptions import BaseError

from curation.cli.flags import VERBS, joined, make_parser, with_verb
from curation.cli.verbs import FAILED, USAGE
from curation.errors import ConfigError, CurationError
from curation.errors.printable import printable
from curation.errors.words import did_you_mean
from curation.store.refusals import brief
from curation.work import stopping, telling


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and gives its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        hint = did_you_mean(words[0], VERBS)
        print(f"curate: {printable(words[0])!r}: no such verb; {hint}known: {', '.join(VERBS)}", file=sys.stderr)
        return USAGE
    sys.excepthook = _tell_crash
    args = make_parser().parse_args(joined(with_verb(words)))
    telling.by_command(verbose=args.verbose)
    with stopping.by_signals():
        try:
            code: int = args.run(args)
            sys.stdout.flush()
        except ConfigError as err:
            print(f"curate: {_one_line(err)}", file=sys.stderr)
            return USAGE
        except CurationError as err:
            print(f"curate: {_one_line(err)}", file=sys.stderr)
            return FAILED
        except BaseError as err:
            print(f"curate: an object store failed: {brief(err)}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt as why:
            print("curate: stopped; the same command goes on from here", file=sys.stderr)
            return why.code if isinstance(why, stopping.Stopped) else 128 + signal.SIGINT
        except OSError as err:
            if err.filename is not None or err.errno not in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            where = _NAMELESS
            if _is_full():
                where = "standard output"
                _forget_output()
            print(f"curate: {where}: {os.strerror(err.errno)}", file=sys.stderr)
            return FAILED
    return code


_NAMELESS = "standard output, or a file or connection that the system does not name"


def _is_full() -> bool:
    """Whether standard output takes nothing: what failed otherwise is not to be blamed on it.

    It is asked by an empty line: with PYTHONUNBUFFERED what was not taken is gone, and a flush alone succeeds.
    """
    try:
        print(flush=True)
    except (OSError, ValueError):
        return True
    return False


def _forget_output() -> None:
    """What is not written of standard output by now is let go of: the interpreter would try once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(err: BaseException) -> str:
    return " ".join(printable(err).split())


def _tell_crash(kind: type[BaseException], err: BaseException, trace: TracebackType | None) -> None:
    """What Python tells of an error that nobody expected, printable."""
    print(printable("".join(traceback.format_exception(kind, err, trace))), end="", file=sys.stderr)
