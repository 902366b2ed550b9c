"""A project that people work in: its members with keys of their own, a run that has ended, and the calls they make."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from deploy.local.demo.client import Gateway
from tests.bench.api.clients import Asked, Clients, encoded
from tests.bench.stage import Stage
from tests.support.texts import configuration, run_to_its_end, set_up_texts

_ITEMS = 10


@dataclass(frozen=True)
class Office:
    path: str
    """Of the project."""
    run: str
    """The path of the run that has ended."""
    labelers: Sequence[str]
    editors: Sequence[str]
    """API keys."""
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def looks(self, key: str, running: str) -> list[tuple[str, bytes]]:
        """What a frontend shows, by name; `running` is the path of a project whose runs it follows."""
        paths = {
            "project": self.path,
            "readiness": f"{self.path}/readiness",
            "models": f"{self.path}/models",
            "runs": f"{running}/model-runs",
            "run": self.run,
            "ledger": f"{self.run}/ledger",
            "pre-labels": f"{self.run}/pre-labels?page_size=50",
            "data rows": f"{self.path}/data-rows?page_size=50",
            "labels": f"{self.path}/labels?page_size=50",
            "queue": f"{self.path}/review-queue?page_size=20",
            "events": f"{self.path}/events?after=0",
            "notifications": "/v1/notifications",
        }
        return [(name, encoded("GET", path, key)) for name, path in paths.items()]

    def rows_to_import(self, key: str) -> tuple[str, bytes]:
        numbers = itertools.islice(self.numbers, _ITEMS)
        items = [{"global_key": f"later-{number}", "text": f"later {number}"} for number in numbers]
        return "import", encoded("POST", f"{self.path}/data-rows", key, {"items": items})


async def opened(stage: Stage, slug: str, rows: int, labelers: int, editors: int) -> Office:
    frontend = await set_up_texts(stage.gateway, map(str, range(rows)))
    ended = await run_to_its_end(frontend, stage.notifier_url, await configuration(frontend, slug))
    keys = [await _key(stage.gateway, role) for role in ["labeler"] * labelers + ["editor"] * editors]
    run = f"/v1/model-runs/{ended['subject']['id']}"
    return Office(frontend.path, run, keys[:labelers], keys[labelers:])


async def _key(gateway: Gateway, role: str) -> str:
    member = await gateway.post("/v1/members", {"name": role, "role": role})
    return str((await gateway.post("/v1/api-keys", {"name": role, "member_id": member["id"]}))["secret"])


@dataclass
class People:
    """Everybody of an office at work. `asked` is all that they asked."""

    office: Office
    clients: Clients
    asked: list[Asked] = field(default_factory=list)

    async def review(self, key: str) -> None:
        """Take a data row, see it, accept what is proposed, submit."""
        wanted = encoded("POST", f"{self.office.path}/review-queue/reserve", key, {"count": 1})
        (item,) = orjson.loads((await self.ask("reserve", wanted)).body)["items"]
        row = f"/v1/data-rows/{item['data_row_id']}"
        await self.ask("content", encoded("GET", f"{row}/content", key))
        decisions = [{"action": "accept", "pre_label_id": one["id"]} for one in item["pre_labels"]]
        body, seen = {"decisions": decisions, "submit": True}, {"If-Match": f'"{item["revision"]}"'}
        await self.ask("decide", encoded("POST", f"{row}/decisions", key, body, seen))

    async def ask(self, call: str, request: bytes) -> Asked:
        """Raises RuntimeError unless the answer is as it should be: nobody asks for too much here."""
        asked = await self.clients.ask(call, request)
        if asked.status not in {200, 201}:
            raise RuntimeError(f"{call}: {asked.status} {asked.body[:500]!r}")
        self.asked.append(asked)
        return asked


async def until(moment: float) -> None:
    """Of the loop's clock; at once when it is past."""
    await asyncio.sleep(moment - asyncio.get_running_loop().time())
