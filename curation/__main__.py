"""Runs the command: `python -m curation` is `curate`."""

import sys

from curation.work import stopping


def main() -> int:
    """Runs the command in a process of its own, and gives its exit code: one line however early or late it is stopped."""
    stopping.install()
    try:
        from curation.cli.main import main as command  # some seconds, in which somebody may change their mind

        return command()
    except stopping.Stopped as why:
        print("curate: stopped before it began", file=sys.stderr)
        return why.code
    finally:
        stopping.over()


if __name__ == "__main__":
    sys.exit(main())
