"""`python -m deploy.local COMMAND`: the stack on one machine."""

import argparse
import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local import logs
from deploy.local.control import StackFailed, StackProcess, stop_running
from deploy.local.foreground import Presentation, run_stack, summary
from deploy.local.stack import StackOptions, known_addresses
from deploy.local.state import StateFolder, StateInUse

Arguments = argparse.Namespace


def main() -> int:
    arguments = _parser().parse_args()
    command: Callable[[Arguments], int] = arguments.run
    try:
        return command(arguments)
    except (StackFailed, StateInUse) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def up(arguments: Arguments) -> int:
    if _running(arguments, "api"):
        return _tell(arguments, "running already")
    if arguments.detach:
        StackProcess(_options(arguments), tied=False, show=True).start()
        return _tell(arguments, "running; `make logs` shows what it does, `make down` stops it")
    return asyncio.run(run_stack(_options(arguments), Presentation(arguments.quiet, arguments.stop_with_stdin)))


def down(arguments: Arguments) -> int:
    return _say("stopped" if stop_running(_state(arguments)) else "nothing is running")


def status(arguments: Arguments) -> int:
    state = _state(arguments)
    known = state.status()
    if known is None or not known.running():
        _say(f"not running{f' ({known.reason})' if known and known.reason else ''}")
        return 1
    for name, service in known.services.items():
        process = f"process {service.process.pid}" if service.process and service.state == "ready" else ""
        _say(f"{name:<12} {service.state:<9} {process:<16} {service.restarts} restarts")
    return _tell(arguments, known.phase)


def show_logs(arguments: Arguments) -> int:
    folder = _state(arguments).log_folder
    paths = {path.stem: path for path in sorted(folder.glob(f"{arguments.service or '*'}.log"))}
    terminal = logs.Terminal(paths, Path(os.devnull))
    for name, path in paths.items():
        for line in logs.last_lines(path, arguments.lines):
            terminal.show(name, line)
    if arguments.follow:
        asyncio.run(logs.follow(paths, terminal))
    return 0


def run_command(arguments: Arguments) -> int:
    """A command with the stack's addresses in its environment; without a stack, servers run for as long as it does."""
    if _running(arguments):
        addresses = known_addresses(_state(arguments))
        return subprocess.run(arguments.words, env={**os.environ, **addresses.environment()}, check=False).returncode
    options = StackOptions(arguments.state, arguments.models, arguments.triton_python, arguments.free_ports, True)
    with StackProcess(options) as stack:
        environment = {**os.environ, **stack.addresses.environment()}
        return subprocess.run(arguments.words, env=environment, check=False).returncode


def demo(arguments: Arguments) -> int:
    """Against a running stack, or one that lives as long as the demonstration."""
    demonstration = importlib.import_module("deploy.local.demo")  # what it imports, nothing else here needs
    stack = StackProcess(_options(arguments), show=True)
    if _running(arguments, "api"):
        return int(demonstration.run(stack))
    with stack:
        return int(demonstration.run(stack))


def _parser() -> argparse.ArgumentParser:
    default = StackOptions()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", type=Path, default=Path(os.environ.get("PRELABEL_STATE", default.state)))
    common.add_argument("--models", type=Path, default=default.models)
    common.add_argument("--triton-python", type=Path, default=default.triton_python)
    common.add_argument("--free-ports", action="store_true", help="none of the usual ports")
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Arguments], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[common], help=text, description=text)
        added.set_defaults(run=run)
        return added

    start = command("up", up, "start everything and stay, until Ctrl-C")
    start.add_argument("--servers-only", action="store_true", help="PostgreSQL, Valkey and Triton only")
    start.add_argument("--detach", action="store_true", help="return once everything is ready")
    start.add_argument("--quiet", action="store_true", help="the supervisor's lines only, not the services'")
    start.add_argument("--stop-with-stdin", action="store_true", help="stop when standard input ends")
    command("down", down, "stop what runs")
    command("status", status, "say what runs, and where")
    show = command("logs", show_logs, "show the logs, of one service or of all")
    show.add_argument("service", nargs="?")
    show.add_argument("--lines", type=int, default=20)
    show.add_argument("--follow", action="store_true")
    words = command("run", run_command, "run a command with the stack's addresses in its environment")
    words.add_argument("words", nargs="+", metavar="-- COMMAND")
    command("demo", demo, "do the main job once, through the public interfaces")
    return parser


def _options(arguments: Arguments) -> StackOptions:
    return StackOptions(
        arguments.state,
        arguments.models,
        arguments.triton_python,
        arguments.free_ports,
        getattr(arguments, "servers_only", False),
    )


def _state(arguments: Arguments) -> StateFolder:
    return StateFolder.at(arguments.state)


def _running(arguments: Arguments, service: str = "") -> bool:
    """Whether a stack runs, with this service among its own."""
    known = _state(arguments).status()
    return known is not None and known.running() and (not service or service in known.services)


def _tell(arguments: Arguments, how: str) -> int:
    state = _state(arguments)
    for line in [how, *summary(state, known_addresses(state))]:
        _say(line)
    return 0


def _say(line: str) -> int:
    sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
