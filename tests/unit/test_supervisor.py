"""The supervisor with small real processes: order, readiness, restart, stop, and what must not stay behind."""

import asyncio
import io
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.local.leftovers import end_leftovers
from deploy.local.logs import Terminal
from deploy.local.ports import choose_ports
from deploy.local.processes import ProcessIdentity, started_for
from deploy.local.service import Service, ServiceUnusable, Stopping
from deploy.local.state import StateFolder, StateInUse
from deploy.local.supervisor import Supervisor
from tests.support.waiting import until

LIVES = "import time; time.sleep(60)"
TOUCHES = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text('here'); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).wait()"


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder.at(tmp_path)
    folder.folder("log")
    return folder


def python(name: str, code: str, *arguments: str, **more: Any) -> Service:
    return Service(name, (sys.executable, "-c", code, *arguments), **more)


def exists(path: Path) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return path.exists()  # noqa: ASYNC240

    return ready


def deaf(state: StateFolder, seconds: float, **more: Any) -> Service:
    """Ready once it ignores SIGTERM."""

    async def listening() -> bool:
        return "deaf" in (state.log_folder / "deaf.log").read_text()

    return python("deaf", STUBBORN, ready=listening, stopping=Stopping(seconds=seconds), **more)


def supervise(state: StateFolder, *services: Service) -> tuple[Supervisor, io.StringIO]:
    said = io.StringIO()
    terminal = Terminal([service.name for service in services], state.log_folder / "supervisor.log", said)
    return Supervisor(state, services, terminal), said


@asynccontextmanager
async def running(state: StateFolder, *services: Service) -> Any:
    """From ready to stopped."""
    supervisor, said = supervise(state, *services)
    ready = asyncio.Event()

    async def announce() -> None:
        ready.set()

    task = asyncio.create_task(supervisor.run(announce))
    await asyncio.wait_for(ready.wait(), 20)
    try:
        yield supervisor, said
    finally:
        supervisor.end()
        code = await asyncio.wait_for(task, 20)
    assert code == 0
    assert list(started_for(state.root)) == []


def process_of(state: StateFolder, name: str) -> ProcessIdentity:
    status = state.status()
    assert status is not None
    process = status.services[name].process
    assert process is not None
    return process


def heads(said: io.StringIO, word: str) -> Sequence[str]:
    """The services of which the supervisor said this, in the order in which it did."""
    lines = (line.partition("| ")[2].split() for line in said.getvalue().splitlines())
    return [words[0] for words in lines if len(words) > 1 and words[1] == word]


async def test_starts_in_the_order_of_needs_and_stops_in_reverse(state: StateFolder, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    third = python("third", LIVES, after=("second",))
    second = python("second", "import pathlib, sys; assert pathlib.Path(sys.argv[1]).exists()", str(mark), once=True,
                    after=("first",))  # fmt: skip
    first = python("first", "import time; time.sleep(0.3)\n" + TOUCHES, str(mark), ready=exists(mark))
    async with running(state, third, second, first) as (_, said):
        assert heads(said, "ready") == ["first", "third"]
        assert heads(said, "done") == ["second"]
    assert heads(said, "stopped") == ["third", "first"]


async def test_what_dies_is_started_again_and_is_ready_again(state: StateFolder) -> None:
    async with running(state, python("one", LIVES)) as (_, said):
        before = process_of(state, "one")
        os.kill(before.pid, signal.SIGKILL)
        await until(lambda: heads(said, "ready") == ["one", "one"])
        after = state.status().services["one"]  # type: ignore[union-attr]
        assert after.process != before
        assert (after.state, after.restarts) == ("ready", 1)


async def test_a_service_that_cannot_start_stops_the_others(state: StateFolder) -> None:
    never = exists(state.root / "never")
    broken = python("broken", "import sys; sys.exit('no such table')", after=("fine",), ready=never)
    supervisor, said = supervise(state, python("fine", LIVES), broken)
    assert await asyncio.wait_for(supervisor.run(_never), 20) == 1
    assert "broken: ended with 1 before it was ready" in said.getvalue()
    assert "no such table" in said.getvalue(), "the end of its log tells why"
    assert heads(said, "stopped") == ["fine"]
    assert state.status().phase == "failed"  # type: ignore[union-attr]
    assert list(started_for(state.root)) == []


async def test_a_step_that_fails_stops_the_start(state: StateFolder) -> None:
    step = python("step", "raise SystemExit(3)", once=True)
    supervisor, said = supervise(state, step, python("next", LIVES, after=("step",)))
    assert await asyncio.wait_for(supervisor.run(_never), 20) == 1
    assert "step: ended with 3" in said.getvalue()
    assert not (state.log_folder / "next.log").exists()


async def test_a_service_that_is_never_ready_is_stopped(state: StateFolder, tmp_path: Path) -> None:
    mute = python("mute", LIVES, ready=exists(tmp_path / "never"), ready_seconds=0.3)
    supervisor, said = supervise(state, mute)
    assert await asyncio.wait_for(supervisor.run(_never), 20) == 1
    assert "mute: was not ready within 0 s" in said.getvalue()
    assert list(started_for(state.root)) == []


async def test_a_probe_may_say_that_waiting_is_of_no_use(state: StateFolder) -> None:
    async def hopeless() -> bool:
        raise ServiceUnusable("the disk is full")

    supervisor, said = supervise(state, python("one", LIVES, ready=hopeless))
    assert await asyncio.wait_for(supervisor.run(_never), 20) == 1
    assert "one: the disk is full" in said.getvalue()


async def test_who_does_not_stop_is_killed(state: StateFolder) -> None:
    async with running(state, deaf(state, 0.3)) as (_, said):
        pass
    assert "deaf did not stop and was killed" in said.getvalue()


async def test_a_later_signal_does_not_wait(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.supervisor.SAME_WISH_SECONDS", 0.1)
    async with running(state, deaf(state, 60)) as (_, said):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)
    assert "stopping at once" in said.getvalue()
    assert state.status().phase == "stopped"  # type: ignore[union-attr]


async def test_signals_at_nearly_the_same_time_are_one(state: StateFolder) -> None:
    ends_well = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit(0)))\n"
    log = state.log_folder / "slow.log"

    async def listening() -> bool:
        return "here" in log.read_text()

    slow = python("slow", f"{ends_well}print('here', flush=True); time.sleep(60)", ready=listening)
    async with running(state, python("needed", LIVES), replace(slow, after=("needed",))) as (_, said):
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.05)
        await until(lambda: heads(said, "stopped") == ["slow", "needed"])
    assert "at once" not in said.getvalue()


async def test_what_dies_while_everything_stops_is_not_started_again(state: StateFolder) -> None:
    async with running(state, python("needed", LIVES), deaf(state, 0.5, after=("needed",))) as (supervisor, said):
        supervisor.end()
        await asyncio.sleep(0.05)
        os.kill(process_of(state, "needed").pid, signal.SIGKILL)
    assert "starts again" not in said.getvalue()
    assert state.status().services["needed"].restarts == 0  # type: ignore[union-attr]


async def test_says_what_it_waits_for(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.supervisor.SLOW_STOP_SECONDS", 0.1)
    async with running(state, deaf(state, 0.4)) as (_, said):
        pass
    assert "waiting for deaf to stop, at most 0 s" in said.getvalue()


async def test_grandchildren_go_with_their_parent(state: StateFolder) -> None:
    async with running(state, python("parent", PARENT)) as (_, said):
        await until(lambda: len(list(started_for(state.root))) == 2)
        grandchildren = set(started_for(state.root))
        os.kill(process_of(state, "parent").pid, signal.SIGKILL)
        await until(lambda: heads(said, "ready") == ["parent", "parent"])
        assert not any(process.alive() for process in grandchildren)


async def test_sweeps_before_each_start_and_after_the_end(state: StateFolder, tmp_path: Path) -> None:
    litter = tmp_path / "litter"
    litter.touch()
    touches = python("one", TOUCHES, str(litter), ready=exists(litter), sweep=lambda: litter.unlink(missing_ok=True))
    async with running(state, touches):
        assert litter.read_text() == "here"
    assert not litter.exists()


async def test_a_stack_whose_folder_is_removed_ends(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.supervisor.HOUSEKEEPING_SECONDS", 0.1)
    supervisor, said = supervise(state, python("one", LIVES))
    task = asyncio.create_task(supervisor.run(_nothing))
    await until(lambda: heads(said, "ready") == ["one"])
    shutil.rmtree(state.root)
    assert await asyncio.wait_for(task, 10) == 0
    assert list(started_for(state.root)) == []


async def test_ends_what_a_killed_supervisor_left(state: StateFolder) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, env={**os.environ, "PRELABEL_SUPERVISED_STATE": str(state.root)}
    )
    await until(lambda: len(list(started_for(state.root))) == 2)
    assert await end_leftovers(state) == 2
    assert list(started_for(state.root)) == []
    await child.wait()


async def test_what_had_to_be_killed_is_gone_with_its_port(state: StateFolder) -> None:
    holds = (
        "import signal, socket, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "held = socket.create_server(('127.0.0.1', int(sys.argv[1]))); print('held', flush=True); time.sleep(60)"
    )
    port = choose_ports(state, free=True)["inference_metrics"]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", holds, str(port), stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PRELABEL_SUPERVISED_STATE": str(state.root)},
    )  # fmt: skip
    assert child.stdout is not None
    assert await child.stdout.readline() == b"held\n"
    assert await end_leftovers(state, seconds=0.1) == 1
    assert choose_ports(state, free=True)["inference_metrics"] == port
    await child.wait()


async def test_one_state_folder_has_one_owner(state: StateFolder) -> None:
    with state.owned(), pytest.raises(StateInUse, match=str(os.getpid())), state.owned():
        pass
    with state.owned():
        pass


async def test_a_reused_pid_is_somebody_else() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me.alive()
    assert not ProcessIdentity(pid=me.pid, started=me.started - 1).alive()


async def _nothing() -> None:
    return


async def _never() -> None:
    raise AssertionError("this stack never becomes ready")
