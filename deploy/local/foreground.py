"""A whole stack in this process: what `python -m deploy.local up` does."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from deploy.local import logs
from deploy.local.leftovers import end_leftovers
from deploy.local.ports import USUAL
from deploy.local.service import ServiceUnusable
from deploy.local.stack import Addresses, Stack, StackOptions, plan_stack
from deploy.local.state import StateFolder
from deploy.local.supervisor import Supervisor


@dataclass(frozen=True)
class Presentation:
    """`quiet`: the supervisor's own lines only. `stop_with_stdin`: stop when whoever started us is gone."""

    quiet: bool = False
    stop_with_stdin: bool = False


async def run_stack(options: StackOptions, presentation: Presentation) -> int:
    """Until a signal or a failure. Raises StateInUse when the stack runs already."""
    state = StateFolder.at(options.state)
    state.folder("log")
    with state.owned():
        ended = await end_leftovers(state)
        try:
            stack = plan_stack(state, options)
        except ServiceUnusable as unusable:
            sys.stderr.write(f"{unusable}\n")
            return 1
        terminal = logs.Terminal([service.name for service in stack.services], state.log_folder / "supervisor.log")
        if ended:
            terminal.say(f"ended {ended} processes that an earlier supervisor left")
        for name, port in stack.ports.items() if not options.free_ports else ():
            if port != USUAL[name]:
                terminal.say(f"{name} is on port {port}, because {USUAL[name]} was taken when it was first started")
        return await _supervise(state, stack, terminal, presentation)


async def _supervise(state: StateFolder, stack: Stack, terminal: logs.Terminal, presentation: Presentation) -> int:
    supervisor = Supervisor(state, stack.services, terminal)
    servers_only = all(service.name != "api" for service in stack.services)

    async def announce() -> None:
        for line in summary(state, stack.addresses) if not servers_only else [f"logs {state.log_folder}"]:
            terminal.say(line)

    helpers: list[asyncio.Task[None]] = []
    if not presentation.quiet:
        files = {service.name: state.log_folder / f"{service.name}.log" for service in stack.services}
        helpers.append(asyncio.create_task(logs.follow(files, terminal)))
    if presentation.stop_with_stdin:
        helpers.append(asyncio.create_task(_end_with_stdin(supervisor)))
    try:
        return await supervisor.run(announce)
    finally:
        for helper in helpers:
            helper.cancel()
            with suppress(asyncio.CancelledError):
                await helper


def summary(state: StateFolder, addresses: Addresses) -> Sequence[str]:
    """What a person wants to know of a stack that is ready."""
    return [
        f"API and its documentation  {addresses.api_url}/docs",
        f"websocket                  {addresses.notifier_url.replace('http', 'ws', 1)}/v1/ws",
        f"API key                    {state.api_key_file}",
        f"logs                       {state.log_folder}",
    ]


async def _end_with_stdin(supervisor: Supervisor) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    supervisor.end()
