"""The commands of `python -m deploy.local`."""

import argparse
import asyncio
import importlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.local import logs
from deploy.local.control import StackProcess
from deploy.local.foreground import Presentation, run_stack, summary
from deploy.local.interrupts import unwind_on_sigterm
from deploy.local.output import drop_output, reader_left, say, say_aside
from deploy.local.running import StackFailed, settled, stop_running
from deploy.local.stack import StackOptions, known_addresses
from deploy.local.state import StackStatus, StateFolder, StateInUse

Arguments = argparse.Namespace


def main() -> int:
    arguments = _parser().parse_args()
    command: Callable[[Arguments], int] = arguments.run
    unwind_on_sigterm()
    try:
        return command(arguments)
    except (StackFailed, StateInUse) as failure:
        say_aside(str(failure))
        return 1
    except BrokenPipeError:
        drop_output()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def up(arguments: Arguments) -> int:
    if _has_api(settled(_state(arguments))):
        return _tell(arguments, "running already")
    if arguments.detach:
        StackProcess(_options(arguments), tied=False, show=say).start()
        return _tell(arguments, "running; `make logs` shows what it does, `make down` stops it")
    return asyncio.run(run_stack(_options(arguments), Presentation(arguments.quiet, arguments.stop_with_stdin)))


def down(arguments: Arguments) -> int:
    say("stopped" if stop_running(_state(arguments)) else "nothing is running")
    return 0


def status(arguments: Arguments) -> int:
    known = _state(arguments).status()
    if known is None or not known.running():
        say(f"not running{f' ({known.reason})' if known and known.reason else ''}")
        return 1
    for name, service in known.services.items():
        process = f"process {service.process.pid}" if service.process and service.state == "ready" else ""
        say(f"{name:<12} {service.state:<9} {process:<16} {service.restarts} restarts")
    if known.phase == "ready":
        return _tell(arguments, known.phase)
    say(known.phase)
    return 0


def show_logs(arguments: Arguments) -> int:
    state = _state(arguments)
    known = state.status()
    # `up.log` repeats what the supervisor's own log says.
    names = {path.stem for path in state.log_folder.glob("*.log")} - {"up"} | set(known.services if known else ())
    if not names:
        say_aside("there are no logs yet; `make up` starts the stack")
        return 1
    if arguments.service and arguments.service not in names:
        say_aside(f"no service is named {arguments.service}; there are {', '.join(sorted(names))}")
        return 2
    wanted = [arguments.service] if arguments.service else sorted(names)
    paths = {name: state.log_folder / f"{name}.log" for name in wanted}
    terminal = logs.Terminal(paths, Path(os.devnull))
    for name, path in paths.items():
        for line in logs.last_lines(path, arguments.lines):
            terminal.show(name, line, fresh=False)
    if arguments.follow:
        asyncio.run(logs.follow(paths, terminal, lambda: terminal.unread or reader_left()))
    return 0


def run_command(arguments: Arguments) -> int:
    """A command with the stack's addresses in its environment; without a stack, servers run for as long as it does."""
    if settled(_state(arguments)):
        addresses = known_addresses(_state(arguments))
        return subprocess.run(arguments.words, env={**os.environ, **addresses.environment()}, check=False).returncode
    options = StackOptions(arguments.state, arguments.models, arguments.triton_python, arguments.free_ports, True)
    say_aside("no stack is running; starting the servers for this command alone")
    with StackProcess(options, show=say_aside) as stack:
        environment = {**os.environ, **stack.addresses.environment()}
        return subprocess.run(arguments.words, env=environment, check=False).returncode


def demo(arguments: Arguments) -> int:
    """Against a running stack, or one that lives as long as the demonstration."""
    demonstration = importlib.import_module("deploy.local.demo")  # what it imports, nothing else here needs
    stack = StackProcess(_options(arguments), show=say)
    if _has_api(settled(_state(arguments))):
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


def _has_api(known: StackStatus | None) -> bool:
    return known is not None and "api" in known.services


def _tell(arguments: Arguments, how: str) -> int:
    state = _state(arguments)
    for line in [how, *summary(state, known_addresses(state))]:
        say(line)
    return 0
