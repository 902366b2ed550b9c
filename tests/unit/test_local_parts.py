"""Ports, addresses and logs of the local stack."""

import io
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.logs import Tail, Terminal, last_lines
from deploy.local.ports import USUAL, choose_ports
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


def test_lines_carry_the_name_of_their_service(tmp_path: Path) -> None:
    out = io.StringIO()
    Terminal(["api", "notifier"], tmp_path / "own.log", out).show("api", "hello")
    assert out.getvalue().endswith("api        | hello\n")
