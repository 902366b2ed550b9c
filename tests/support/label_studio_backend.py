"""An ML backend of Label Studio in a process of its own: the wire of `label_studio_ml.api`, and a model of colours.

`python -m tests.support.label_studio_backend [PORT]` prints the port it serves on. What it is to do wrong is posted to
`/fault`, which the protocol does not have.
"""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import urlopen
from xml.etree import ElementTree

import cv2
import httpx2
import numpy as np

Json = dict[str, Any]
_COLORS = ("red", "green", "blue")
_LONGEST_SECONDS = 60


class State:
    fault, version, predicted, released = "", "colours-1", 0, threading.Event()


def _spoil_first(change: Callable[[Json], None]) -> Callable[[list[Json]], Any]:
    def spoil(results: list[Json]) -> list[Json]:
        for one in results[:1]:
            change(one)
        return results

    return spoil


def _one_nan(results: list[Json]) -> list[Json]:
    """Of green pictures only."""
    for one in results:
        if one["result"][0]["value"]["choices"] == ["green"]:
            one["result"][0]["score"] = float("nan")
    return results


_SPOILS: dict[str, Callable[[list[Json]], Any]] = {
    "": lambda results: results,
    "one_too_few": lambda results: results[:-1],
    "one_too_many": lambda results: [*results, *results[:1]],
    "only_one": lambda results: results[:1],
    "listed": lambda results: [[one] for one in results],
    "several": lambda results: [[one, one] for one in results],
    "no_list": lambda _: {"predictions": "none"},
    "no_regions": _spoil_first(lambda one: one.update(result={"value": 1})),
    "other_type": _spoil_first(lambda one: one["result"][0].update(type="rectanglelabels")),
    "unknown_label": _spoil_first(lambda one: one["result"][0]["value"].update(choices=["purple"])),
    "high_score": _spoil_first(lambda one: one["result"][0].update(score=37)),
    "one_nan": _one_nan,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path in {"/", "/health"}:
            self._say(200, {"status": "UP", "model_class": "ColorTeller"})
        else:
            self._say(404, {"status": 404, "detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = {"/setup": self._setup, "/predict": self._predict, "/fault": self._fault}
        answers[self.path](body)

    def _setup(self, body: Json) -> None:
        ElementTree.fromstring(body["schema"])
        self._say(200, {"model_version": State.version if body["project"].split(".")[0].isdigit() else None})

    def _predict(self, body: Json) -> None:
        State.predicted += 1
        if State.fault == "late":
            State.released.wait(_LONGEST_SECONDS)
        if State.fault == "error":
            self._say(500, {"status": 500, "detail": "ValueError: no such thing", "result": {"traceback": "…"}})
        elif State.fault == "busy":
            self._say(503, {})
        else:
            results = [_prediction(task, body["label_config"]) for task in body["tasks"]]
            self._say(200, {"results": _SPOILS.get(State.fault, _SPOILS[""])(results)})

    def _fault(self, body: Json) -> None:
        State.fault, State.version = body.get("fault", ""), body.get("version", State.version)
        if State.fault == "late":
            State.released.clear()
        else:
            State.released.set()
        self._say(200, {"predicted": State.predicted})

    def _say(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


def _prediction(task: Json, label_config: str) -> Json:
    """A choice or a box of the colour, in the middle of the lower half, or a name in a text, without a score."""
    control = next(one for one in ElementTree.fromstring(label_config).iter() if one.get("toName"))
    region: Json = {"from_name": control.get("name"), "to_name": control.get("toName"), "type": control.tag.lower()}
    (content,) = task["data"].values()
    if control.tag == "Labels":
        start = content.find("Ada")
        region |= {"value": {"start": start, "end": start + 3, "text": "Ada", "labels": ["Person"]}}
        return {"result": [] if start < 0 else [region], "score": 0.0, "model_version": State.version}
    with urlopen(content, timeout=10) as answer:
        pixels = np.asarray(cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR))
    color = _COLORS[int(pixels.reshape(-1, 3).mean(axis=0)[::-1].argmax())]
    box = {} if control.tag == "Choices" else {"x": 25.0, "y": 50.0, "width": 50.0, "height": 50.0, "rotation": 0}
    region |= {"value": {**box, control.tag.lower(): [color]}, "score": 0.9}
    return {"result": [region], "score": 0.9, "model_version": State.version}


class BackendProcess:
    """May be killed and started again where it was."""

    def __init__(self) -> None:
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        command = [sys.executable, "-m", __name__, str(self.port)]
        self._process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def does(self, fault: str = "", **more: str) -> int:
        """From now on; answers how often it was asked for predictions."""
        async with httpx2.AsyncClient() as client:
            answer = await client.post(f"{self.url}/fault", json={"fault": fault, **more})
        return int(answer.json()["predicted"])


@asynccontextmanager
async def running_backend() -> AsyncIterator[BackendProcess]:
    backend = BackendProcess()
    await backend.start()
    try:
        yield backend
    finally:
        await backend.kill()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int([*sys.argv, "0"][1])), _Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
