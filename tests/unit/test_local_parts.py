"""Ports, addresses and logs of the local stack."""

import io
import os
import shlex
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.given import check
from deploy.local.logs import Tail, Terminal, last_lines
from deploy.local.plain_paths import plain_paths
from deploy.local.ports import USUAL, choose_ports
from deploy.local.service import ServiceUnusable
from deploy.local.stack import StackOptions, plan_stack
from deploy.local.state import StateFolder


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder.at(tmp_path)


def test_free_ports_are_none_of_the_usual_ones_and_stay(state: StateFolder) -> None:
    chosen = choose_ports(state, free=True)
    assert len(set(chosen.values())) == len(USUAL)
    assert not set(chosen.values()) & set(USUAL.values())
    assert choose_ports(state, free=True) == chosen


def test_a_taken_port_is_replaced_and_the_others_stay(state: StateFolder) -> None:
    chosen = choose_ports(state, free=True)
    with socket.create_server(("127.0.0.1", chosen["api"])):
        again = choose_ports(state, free=True)
    assert {name for name in USUAL if again[name] != chosen[name]} == {"api"}


def test_a_port_that_was_taken_once_is_used_when_it_is_free_again(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = choose_ports(state, free=True)["api"]
    monkeypatch.setenv("API_PORT", str(asked))
    with socket.create_server(("127.0.0.1", asked)):
        assert choose_ports(state, free=False)["api"] != asked
    assert choose_ports(state, free=False)["api"] == asked


def test_a_port_that_is_none_is_refused_in_words(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "http")
    with pytest.raises(ServiceUnusable, match="API_PORT=http is no port"):
        choose_ports(state, free=False)


@pytest.mark.parametrize("url", ["postgresql://me:secret@127.0.0.1:{port}/x", "redis://:secret@127.0.0.1:{port}/0"])
async def test_a_server_of_somebody_else_that_does_not_answer_is_named(state: StateFolder, url: str) -> None:
    port = choose_ports(state, free=True)["postgres"]
    name = "DATABASE_URL" if url.startswith("postgresql") else "REDIS_URL"
    with pytest.raises(ServiceUnusable, match=f"{name} names a server .*127.0.0.1:{port}") as refused:
        await check({name: url.format(port=port)})
    assert "secret" not in str(refused.value)


def test_a_service_may_take_longer_than_its_drain(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_DRAIN_SECONDS", "40")
    stack = plan_stack(state, replace(StackOptions(), free_ports=True))
    inference = next(service for service in stack.services if service.name == "inference")
    assert inference.environment["INFERENCE_DRAIN_SECONDS"] == "40"
    assert inference.stopping.seconds > 40


@pytest.mark.parametrize("said", ["abc", "-1", "nan", "inf"])
def test_a_drain_that_is_no_number_is_refused_in_words(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("INFERENCE_DRAIN_SECONDS", said)
    with pytest.raises(ServiceUnusable, match=f"INFERENCE_DRAIN_SECONDS={said} is no number of seconds"):
        plan_stack(state, replace(StackOptions(), free_ports=True))


def test_where_a_shell_would_take_a_path_apart_there_is_a_plain_one(tmp_path: Path) -> None:
    odd = tmp_path / "with space & more"
    odd.mkdir()
    assert plain_paths("any", {"models": tmp_path}).folders == {"models": tmp_path}
    paths = plain_paths(f"prelabel-test-{tmp_path.name}-{os.getpid()}", {"models": odd})
    assert paths.make
    assert paths.remove
    paths.make()
    paths.make()
    plain = paths.folders["models"]
    assert shlex.quote(str(plain)) == str(plain)
    assert plain.resolve() == odd
    paths.remove()
    assert not plain.parent.exists()
    assert odd.exists()


def test_addresses_given_by_the_environment_replace_servers(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"DATABASE_URL": "postgresql://db/x", "REDIS_URL": "redis://r", "TRITON_URL": "gpu:8001"}
    for name, url in given.items():
        monkeypatch.setenv(name, url)
    stack = plan_stack(state, replace(StackOptions(), free_ports=True))
    names = ["migrate", "bootstrap", "api", "operations", "inference", "previews", "notifier"]
    assert [service.name for service in stack.services] == names
    assert all(service.after == () for service in stack.services if service.name == "migrate")
    assert given.items() <= stack.addresses.environment().items()


def test_a_secret_is_made_once_and_for_its_owner_only(state: StateFolder) -> None:
    secret = state.secret("key")
    assert state.secret("key") == secret
    assert len(secret) > 30
    assert (state.root / "secrets" / "key").stat().st_mode & 0o777 == 0o600


def test_a_tail_gives_whole_lines_and_survives_rotation(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("before\n")
    tail = Tail(log)
    with log.open("a") as file:
        file.write("first\nsec")
        file.flush()
        assert tail.lines() == ["first"]
        file.write("ond\n")
        file.flush()
        assert tail.lines() == ["second"]
    log.write_text("new\n")
    assert tail.lines() == ["new"]
    assert last_lines(log, 5) == ["new"]


def test_a_line_of_old_does_not_carry_the_time_of_viewing(tmp_path: Path) -> None:
    out = io.StringIO()
    Terminal(["api"], tmp_path / "own.log", out).show("api", "hello", fresh=False)
    assert out.getvalue() == f"{'':8} api        | hello\n"


def test_lines_carry_the_name_of_their_service(tmp_path: Path) -> None:
    out = io.StringIO()
    Terminal(["api", "notifier"], tmp_path / "own.log", out).show("api", "hello")
    assert out.getvalue().endswith("api        | hello\n")
