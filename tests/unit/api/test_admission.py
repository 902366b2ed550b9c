"""Places for requests: who takes one, who is refused, and that a slow client holds none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

from services.api.admission import Admission, Places, Turns
from services.api.metrics import HttpMetrics


class Client:
    """One request, with a body that comes when the test wants it and an answer that is read when it wants that."""

    def __init__(self, admission: Admission, key: str = "one", path: str = "/v1/projects") -> None:
        scope = {"type": "http", "path": path, "headers": [(b"authorization", key.encode())]}
        self.body: asyncio.Queue[Message] = asyncio.Queue()
        self.reads = asyncio.Event()
        self.reads.set()
        self.said: list[Message] = []
        self.task = asyncio.create_task(admission(scope, self.body.get, self._send))

    async def _send(self, message: Message) -> None:
        await self.reads.wait()
        self.said.append(message)

    def sends(self, more: bool = False) -> None:
        self.body.put_nowait({"type": "http.request", "body": b"x", "more_body": more})

    async def status(self) -> int:
        await self.task
        return int(self.said[0]["status"])


class Server:
    """Reads the body, works until it is let go, and answers."""

    def __init__(self) -> None:
        self.works = asyncio.Event()
        self.working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        while (await receive()).get("more_body"):
            pass
        self.working += 1
        await self.works.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


@asynccontextmanager
async def serving(
    most: int, most_of_a_key: int, at_work: int = 10, wait_seconds: float = 60
) -> AsyncIterator[tuple[Server, Places, Admission, HttpMetrics]]:
    server, places, metrics = Server(), Places(most, most_of_a_key), HttpMetrics()
    yield server, places, Admission(server, places, Turns(at_work, wait_seconds), metrics), metrics
    assert places.taken == 0
    assert not places.of_key


async def test_what_is_beyond_the_places_is_refused_and_told_when_to_come_again() -> None:
    async with serving(2, 2) as (server, places, admission, metrics):
        first, second = Client(admission, "one"), Client(admission, "two")
        for client in (first, second):
            client.sends()
        await _until_working(server, 2)
        assert await _refusal(Client(admission, "three")) == (503, "overloaded")
        assert (places.taken, _value(metrics, "refused_total", reason="overloaded")) == (2, 1)
        server.works.set()
        assert [await first.status(), await second.status()] == [200, 200]
        late = Client(admission)
        late.sends()
        assert await late.status() == 200


async def test_one_key_cannot_have_them_all() -> None:
    async with serving(3, 2) as (server, _, admission, _):
        clients = [Client(admission, "greedy") for _ in range(2)]
        for client in clients:
            client.sends()
        await _until_working(server, 2)
        assert await _refusal(Client(admission, "greedy")) == (429, "too_many_in_flight")
        other = Client(admission, "modest")
        other.sends()
        await _until_working(server, 3)
        server.works.set()
        assert [await client.status() for client in (*clients, other)] == [200] * 3


async def test_a_body_that_is_slow_to_come_holds_no_place() -> None:
    async with serving(1, 1) as (server, places, admission, metrics):
        slow, quick = Client(admission, "slow"), Client(admission, "quick")
        slow.sends(more=True)
        quick.sends()
        await _until_working(server, 1)
        assert (places.taken, _value(metrics, "in_flight")) == (1, 1)
        server.works.set()
        assert await quick.status() == 200
        slow.sends()
        assert await slow.status() == 200


async def test_an_answer_that_is_slow_to_be_read_holds_no_place() -> None:
    async with serving(1, 1) as (server, places, admission, _):
        server.works.set()
        slow = Client(admission, "slow")
        slow.reads.clear()
        slow.sends()
        await _until_working(server, 1)
        quick = Client(admission, "quick")
        quick.sends()
        assert await quick.status() == 200
        assert places.taken == 0
        slow.reads.set()
        assert await slow.status() == 200


async def test_a_request_that_breaks_gives_its_place_back() -> None:
    async with serving(1, 1) as (server, _, admission, _):
        client = Client(admission)
        client.sends()
        await _until_working(server, 1)
        client.task.cancel()
        await asyncio.gather(client.task, return_exceptions=True)


async def test_so_many_are_at_work_and_the_others_come_in_their_order() -> None:
    async with serving(10, 10, at_work=2) as (server, places, admission, _):
        clients = [Client(admission, str(number)) for number in range(5)]
        for client in clients:
            client.sends()
        await _until_working(server, 2)
        await _turns_of_the_loop()
        assert (server.working, places.taken) == (2, 5)
        server.works.set()
        assert [await client.status() for client in clients] == [200] * 5
        assert server.working == 5


async def test_a_turn_that_does_not_come_is_not_waited_for_for_ever() -> None:
    async with serving(3, 3, at_work=1, wait_seconds=0.01) as (server, places, admission, metrics):
        first = Client(admission, "first")
        first.sends()
        await _until_working(server, 1)
        assert await _refusal(Client(admission, "second")) == (503, "overloaded")
        assert (places.taken, _value(metrics, "refused_total", reason="overloaded")) == (1, 1)
        server.works.set()
        assert await first.status() == 200
        third = Client(admission, "third")
        third.sends()
        assert await third.status() == 200


async def test_who_keeps_us_waiting_for_the_body_goes_on_without_a_turn() -> None:
    async with serving(3, 3, at_work=1) as (server, _, admission, _):
        slow, quick = Client(admission, "slow"), Client(admission, "quick")
        slow.sends(more=True)
        quick.sends()
        await _until_working(server, 1)
        slow.sends()
        await _until_working(server, 2)
        server.works.set()
        assert [await quick.status(), await slow.status()] == [200, 200]


async def test_one_that_ends_while_it_waits_for_its_turn_takes_none() -> None:
    async with serving(3, 3, at_work=1) as (server, _, admission, _):
        first, second, third = [Client(admission, name) for name in ("first", "second", "third")]
        for client in (first, second, third):
            client.sends()
        await _until_working(server, 1)
        second.task.cancel()
        await asyncio.gather(second.task, return_exceptions=True)
        server.works.set()
        assert [await first.status(), await third.status()] == [200, 200]


async def test_probes_are_never_refused() -> None:
    async with serving(1, 1) as (server, _, admission, _):
        first, probe = Client(admission), Client(admission, path="/livez")
        for client in (first, probe):
            client.sends()
        await _until_working(server, 2)
        server.works.set()
        assert [await first.status(), await probe.status()] == [200, 200]


async def _refusal(client: Client) -> tuple[int, Any]:
    status = await client.status()
    headers = dict(client.said[0]["headers"])
    problem = orjson.loads(client.said[1]["body"])
    assert headers[b"retry-after"] == b"1"
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"x-request-id"].decode() == problem["request_id"]
    assert problem["status"] == status
    return status, problem["code"]


async def _until_working(server: Server, count: int) -> None:
    async with asyncio.timeout(10):
        while server.working < count:
            await asyncio.sleep(0)


async def _turns_of_the_loop() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def _value(metrics: HttpMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"prelabel_api_{name}", labels)
