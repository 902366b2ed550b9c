"""Every server behind Triton's address, as its name resolves."""

from collections.abc import Sequence
from typing import cast

import pytest

from services.inference.failures import ModelAway, PartAway
from services.inference.replicas import Replicas, keep_reaching, resolved
from services.inference.reports import ModelState
from services.inference.triton import Triton

ONE = "triton.example.org:8001"


class Server:
    def __init__(self, *models: str, away: bool = False) -> None:
        self.models = models
        self.away = away

    async def states(self) -> dict[str, ModelState]:
        if self.away:
            raise ModelAway("no answer")
        return {model: ModelState("READY") for model in self.models}


async def replicas_at(addresses: Sequence[str], monkeypatch: pytest.MonkeyPatch, **servers: Server) -> Replicas:
    """The servers by the last part of their address."""

    async def resolve(_: str) -> Sequence[str]:
        return addresses

    monkeypatch.setattr(
        "services.inference.replicas.Triton", lambda address, _: servers[f"at{address.partition(':')[0]}"]
    )
    return Replicas(cast(Triton, Server("lone")), ONE, 1, resolve)


@pytest.mark.parametrize("addresses", [[], ["1:8001"]])
async def test_one_address_is_the_one_client(addresses: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = await replicas_at(addresses, monkeypatch)
    assert await replicas.states() == {ONE: {"lone": ModelState("READY")}}


async def test_each_replica_says_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = await replicas_at(["1:8001", "2:8001"], monkeypatch, at1=Server("a", "b"), at2=Server("a"))
    assert await replicas.states() == {
        "1:8001": {"a": ModelState("READY"), "b": ModelState("READY")},
        "2:8001": {"a": ModelState("READY")},
    }


async def test_one_that_is_away_takes_no_calls_and_none_left_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, there = Server(away=True), Server("a")
    replicas = await replicas_at(["1:8001", "2:8001"], monkeypatch, at1=gone, at2=there)
    assert list(await replicas.states()) == ["2:8001"]
    there.away = True
    with pytest.raises(PartAway):
        await replicas.states()


async def test_a_server_on_two_families_is_one() -> None:
    assert await resolved("localhost:8001") == ["127.0.0.1:8001"]
    assert await resolved("no-such-host.invalid:8001") == []


async def test_several_addresses_are_all_of_them() -> None:
    assert await resolved("127.0.0.1:2, 127.0.0.1:1,localhost:2") == ["127.0.0.1:1", "127.0.0.1:2"]


async def test_who_is_behind_a_name_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.inference.replicas._LOOK_SECONDS", 0)
    answers: list[Sequence[str]] = [["1:1"], ["1:1", "2:1"], [], ["2:1"]]
    reached: list[Sequence[str]] = []

    class Reaching:
        def reach(self, addresses: Sequence[str]) -> bool:
            reached.append(addresses)
            return True

    async def resolve(_: str) -> Sequence[str]:
        if not answers:
            raise LookupError
        return answers.pop(0)

    with pytest.raises(LookupError):
        await keep_reaching(cast(Triton, Reaching()), ONE, resolve)
    assert reached == [["1:1"], ["1:1", "2:1"], ["2:1"]]
