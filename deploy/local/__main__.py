"""`python -m deploy.local COMMAND`: the stack on one machine."""

import importlib
import signal
import sys


def start() -> int:
    # What the commands import takes a second. Until they are there, Ctrl-C ends this without a traceback.
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    commands = importlib.import_module("deploy.local.commands")
    signal.signal(signal.SIGINT, before)
    code = int(commands.main())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to unwind
    return code


if __name__ == "__main__":
    sys.exit(start())
