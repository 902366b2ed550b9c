"""Lines for a person, whose reader may leave at any moment, as `head` does."""

import os
import select
import sys


def say(line: str) -> None:
    """On standard output; nothing happens once nobody reads it."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()


def say_aside(line: str) -> None:
    """On standard error, beside the output of a command."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def drop_output() -> None:
    """Standard output goes nowhere from now on, or Python would complain about it once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def reader_left() -> bool:
    """Also tells while there is nothing to write."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))
