"""One run through real processes: its id stands in the log of each service, and all of it is one trace."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.control import StackProcess
from deploy.local.demo.client import Gateway, Json, subscribed
from deploy.local.stack import ROOT, Addresses, StackOptions
from tests.support.faulty_triton import FaultyTriton
from tests.support.otlp_collector import Collector, Seen, collecting
from tests.support.texts import configuration, set_up_texts

_REQUEST_ID = "the-request-of-the-submit"
_OPTIONS = ("offensive", "not offensive")


@dataclass
class Followed:
    """What a run left behind; the processes have ended."""

    run: Json
    logs: dict[str, list[Json]]
    collector: Collector
    traceparents: list[str]

    @property
    def trace(self) -> list[Seen]:
        (submit,) = [one for one in self.collector.spans if one.attributes.get("request_id") == _REQUEST_ID]
        return [one for one in self.collector.spans if one.trace_id == submit.trace_id]


@pytest.fixture
async def followed(servers: Addresses, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Followed]:
    """The whole application on the session's servers, with a Triton in between that notes what is sent along."""
    stack = StackProcess(
        StackOptions(state=ROOT / "var" / "test" / f"followed-{os.getpid()}-{uuid4().hex[:6]}", free_ports=True)
    )
    with collecting() as collector:
        async with FaultyTriton() as triton:
            triton.connect(servers.triton_url)
            environment = {
                "DATABASE_URL": database_url,
                "REDIS_URL": servers.redis_url,
                "TRITON_URL": triton.address,
                "LOG_FORMAT": "json",
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            }
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            try:
                await asyncio.to_thread(stack.start)
                run = await _run(stack)
            finally:
                await asyncio.to_thread(stack.stop)
            logs = {path.stem: _lines(path) for path in stack.log_folder.glob("*.log")}
            stack.remove()
        yield Followed(run, logs, collector, triton.traceparents)


async def test_logs_and_traces(followed: Followed) -> None:
    run_id = followed.run["id"]
    for service in ("api", "inference", "notifier"):
        assert any(run_id in json.dumps(line) for line in followed.logs[service]), f"{service} says nothing of the run"
    _check_lines_of_inference(followed)
    _check_trace(followed)


def _check_lines_of_inference(followed: Followed) -> None:
    lines = [line for line in followed.logs["inference"] if line.get("model_run_id") == followed.run["id"]]
    taken = [line for line in lines if line["event"] == "segment_taken"]
    assert taken
    for line in lines:
        assert line["segment_id"]
        assert line["service"] == "inference"
    trace_ids = {line["trace_id"] for line in lines}
    assert trace_ids == {followed.trace[0].trace_id}, "logs and traces name one another"
    request = next(line for line in followed.logs["api"] if line.get("request_id") == _REQUEST_ID)
    assert request["made"] == f"/v1/model-runs/{followed.run['id']}"
    assert request["trace_id"] == followed.trace[0].trace_id


def _check_trace(followed: Followed) -> None:
    trace = {one.span_id: one for one in followed.trace}

    def ways(name: str) -> set[tuple[str, ...]]:
        return {tuple(_way(trace, one)) for one in trace.values() if one.name == name}

    submit = "prelabel-api POST /v1/projects/{project_id}/model-runs"
    segment = (submit, "prelabel-inference segment")
    batch = (*segment, "prelabel-inference batch")
    assert ways("ring") == {(submit, "prelabel-api ring")}
    assert ways("wake") <= {(submit, "prelabel-api ring", "prelabel-inference wake")}
    assert ways("segment") == {segment}
    assert ways("infer") == {(*batch, "prelabel-inference infer")}
    assert ways("store") == {(*batch, "prelabel-inference store")}
    # What Triton was told is the span of the call that it answers.
    told = {tuple(one.split("-")[1:3]) for one in followed.traceparents}
    assert {(one.trace_id, one.span_id) for one in trace.values() if one.name == "infer"} <= told


def _way(trace: dict[str, Seen], span: Seen) -> list[str]:
    above = _way(trace, trace[span.parent_id]) if span.parent_id in trace else []
    return [*above, f"{span.service} {span.name}"]


async def _run(stack: StackProcess) -> Json:
    gateway = Gateway(stack.addresses.api_url, stack.api_key)
    try:
        frontend = await set_up_texts(gateway, [f"text {number}, you idiot" for number in range(40)], _OPTIONS)
        wanted = await configuration(frontend, "text-offensive")
        async with subscribed(gateway, stack.addresses.notifier_url, f"project:{frontend.project_id}") as channel:
            submitted = await gateway.post(f"{frontend.path}/model-runs", wanted, headers={"X-Request-ID": _REQUEST_ID})
            async with subscribed(gateway, stack.addresses.notifier_url, f"model_run:{submitted['id']}"):
                async for message in channel:
                    if message.get("event", {}).get("type") == "model_run.completed":
                        break
        return submitted
    finally:
        await gateway.close()


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
