"""A whole stack in this process: what `python -m deploy.local up` does."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from deploy.local import logs
from deploy.local.application import SET_HERE
from deploy.local.given import check, given_servers
from deploy.local.leftovers import end_leftovers
from deploy.local.ports import wanted_ports
from deploy.local.processes import ProcessIdentity
from deploy.local.service import ServiceUnusable
from deploy.local.stack import Addresses, Stack, StackOptions, plan_stack
from deploy.local.state import StackStatus, StateFolder
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
        previous = state.status()
        starting = StackStatus(
            supervisor=ProcessIdentity.of(os.getpid()), services=previous.services if previous else {}
        )
        state.write_status(starting)  # from here on other commands wait for this stack
        ended = await end_leftovers(state)
        try:
            await check(given_servers())
            stack = plan_stack(state, options)
        except ServiceUnusable as unusable:
            state.write_status(starting.model_copy(update={"phase": "failed", "reason": str(unusable)}))
            sys.stderr.write(f"{unusable}\n")
            return 1
        terminal = logs.Terminal([service.name for service in stack.services], state.log_folder / "supervisor.log")
        if ended:
            terminal.say(f"ended {ended} processes that an earlier supervisor left")
        for line in _surprises(stack, options):
            terminal.say(line)
        return await _supervise(state, stack, terminal, presentation)


def _surprises(stack: Stack, options: StackOptions) -> Iterator[str]:
    """What is not as the usual ports and the environment let one expect."""
    wanted = {} if options.free_ports else wanted_ports()
    for name, port in wanted.items():
        if stack.ports[name] != port:
            yield f"{name} is on port {stack.ports[name]}, because {port} is taken"
    for name in SET_HERE:
        if os.environ.get(name) and not options.servers_only:
            yield f"{name} of your environment has no effect: the local stack sets it"


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
