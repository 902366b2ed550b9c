"""Every server behind Triton's address, as its name resolves."""

from collections.abc import Sequence
from typing import cast

import pytest

from services.inference.failures import ModelAway, PartAway
from services.inference.replicas import Replicas, resolved
from services.inference.triton import Triton

ONE = "triton.example.org:8001"


class Server:
    def __init__(self, *models: str, away: bool = False) -> None:
        self.models = models
        self.away = away

    async def states(self) -> dict[str, tuple[str, str]]:
        if self.away:
            raise ModelAway("no answer")
        return {model: ("READY", "") for model in self.models}


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
    assert await replicas.states() == {ONE: {"lone": ("READY", "")}}


async def test_each_replica_says_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = await replicas_at(["1:8001", "2:8001"], monkeypatch, at1=Server("a", "b"), at2=Server("a"))
    assert await replicas.states() == {
        "1:8001": {"a": ("READY", ""), "b": ("READY", "")},
        "2:8001": {"a": ("READY", "")},
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
    assert await resolved("no-such-host.invalid:8001") == ()
