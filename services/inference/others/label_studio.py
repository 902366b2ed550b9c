"""ML backends of Label Studio: /health, /setup and /predict over HTTP.

Texts stand in the task, pictures are lent under a URL for as long as the call takes. Results belong to tasks by their
place, so another count than asked is an error of the batch.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import httpx
import numpy as np
import orjson

from services.inference.decoders.label_studio import LabelStudioParameters
from services.inference.failures import ModelAway, ModelRejected, ModelUnusable
from services.inference.neutral import neutral_batch
from services.inference.others.lending import Lending
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from shared.egress import HostNotAllowed, HostRules, guarded_client
from shared.errors import FieldError
from shared.model_card import ModelCard
from shared.served_at import Pin, ServedAt

_TRANSIENT = frozenset({408, 425, 429, 502, 503, 504})
_HEALTH_SECONDS, _CONNECT_SECONDS = 5.0, 5.0
_LONGEST_ANSWER = 64 * 1024 * 1024
_FEW_BYTES = 64 * 1024

Predictions = list[dict[str, Any]]


class LabelStudioBackend:
    """`url` is as the operator allows it: never another path's, and no redirect is followed."""

    def __init__(self, url: str, deadline_seconds: float, lending: Lending) -> None:
        self._url = url.rstrip("/")
        self._deadline = deadline_seconds
        self._lending = lending
        rules = HostRules.of([httpx.URL(url).host], private=True)
        self._client = guarded_client(rules, timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS))

    @property
    def memory(self) -> None:
        return None

    async def ready(self, where: ServedAt) -> bool:
        del where
        try:
            await self._ask("GET", "/health", _HEALTH_SECONDS)
        except (ModelRejected, BadModelOutput):
            return False
        return True

    async def problems(self, where: ServedAt, card: ModelCard) -> Sequence[FieldError]:
        """It reports nothing that could be held against the card: what it cannot do, the probe will tell."""
        del card
        await self._reported(where)
        return ()

    async def pin(self, where: ServedAt, card: ModelCard) -> Pin:
        reported, version = await self._reported(where)
        batch = await asyncio.to_thread(neutral_batch, ServedModel.closed(card), 1)
        (said,) = await self._predict(where, card, batch.tensors)
        return Pin(metadata=reported, answer={}, version=_version(said) or version)

    async def difference(self, where: ServedAt, card: ModelCard, pin: Pin) -> str | None:
        del card
        try:
            reported, version = await self._reported(where)
        except (ModelRejected, BadModelOutput) as error:
            return f"does not take its labeling configuration any more: {error}"[:300]
        return None if reported == pin.metadata else f"reports another model or version: {version!r}"

    async def infer(
        self, where: ServedAt, card: ModelCard, inputs: Mapping[str, Array], pin: Pin | None
    ) -> dict[str, Array]:
        predictions = await self._predict(where, card, inputs)
        versions = {version for one in predictions if (version := _version(one))}
        if pin is not None and pin.version and versions - {pin.version}:
            raise ModelUnusable(
                f"{self._url} serves another model than was registered: it answers as {sorted(versions)}, not as "
                f"{pin.version!r}"[:500]
            )
        found = np.empty((len(predictions), 1), np.object_)
        found[:, 0] = [orjson.dumps(one) for one in predictions]
        return {card.outputs[0].name: found}

    async def close(self) -> None:
        await self._client.aclose()

    async def _reported(self, where: ServedAt) -> tuple[str, str | None]:
        """SHA-256 of what it says that it is, and its version."""
        health = await self._ask("GET", "/health", _HEALTH_SECONDS)
        setup = {"project": _project(where), "schema": where.label_config, "hostname": "", "access_token": ""}
        ready = await self._ask("POST", "/setup", self._deadline, setup)
        if not isinstance(health, dict) or not isinstance(ready, dict):
            raise BadModelOutput("/health or /setup answers no object")
        said = [health.get("model_class"), ready.get("model_version")]
        return hashlib.sha256(orjson.dumps(said)).hexdigest(), _version(ready)

    async def _predict(self, where: ServedAt, card: ModelCard, inputs: Mapping[str, Array]) -> Predictions:
        contents: list[bytes] = next(iter(inputs.values())).ravel().tolist()
        field = LabelStudioParameters.model_validate(card.decoder.parameters).field
        lent = self._lending.lend(contents) if card.media_type == "image" else nullcontext()
        with lent as urls:
            values = urls if urls is not None else [content.decode() for content in contents]
            body = {
                "tasks": [
                    {"id": place, "data": {field: value}, "meta": {}, "annotations": [], "predictions": []}
                    for place, value in enumerate(values, 1)
                ],
                "project": _project(where),
                "label_config": where.label_config,
                "model_version": where.version or None,
                "params": {"login": None, "password": None, "context": None},
            }
            return _predictions(await self._ask("POST", "/predict", self._deadline, body), len(contents))

    async def _ask(self, method: str, path: str, seconds: float, body: Any = None) -> Any:
        """Its answer's JSON. Raises ModelAway, ModelRejected or BadModelOutput."""
        try:
            async with asyncio.timeout(seconds):
                status, content = await self._sent(method, path, body)
        except TimeoutError as error:
            raise ModelAway(f"no answer to {path} within {seconds:g} s") from error
        except (httpx.HTTPError, HostNotAllowed, UnicodeError) as error:
            raise ModelAway(f"{path}: {type(error).__name__}: {error}"[:300]) from error
        if status in _TRANSIENT:
            raise ModelAway(f"{path} answers {status}")
        if not httpx.codes.is_success(status):
            raise ModelRejected(f"{path} answers {status}{_reason(content)}")
        try:
            return (
                orjson.loads(content) if len(content) < _FEW_BYTES else await asyncio.to_thread(orjson.loads, content)
            )
        except orjson.JSONDecodeError as error:
            raise BadModelOutput(f"{path} answers what is no JSON: {error}"[:300]) from error

    async def _sent(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        content = None if body is None else orjson.dumps(body)
        headers = {"content-type": "application/json", "accept": "application/json"}
        request = self._client.build_request(method, self._url + path, content=content, headers=headers)
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            found = bytearray()
            async for part in response.aiter_bytes():
                found += part
                if len(found) > _LONGEST_ANSWER:
                    raise BadModelOutput(f"{path} answers with more than {_LONGEST_ANSWER} bytes")
            return response.status_code, bytes(found)
        finally:
            await response.aclose()


def _project(where: ServedAt) -> str:
    """As Label Studio names projects. Backends keep what they know by it, so it is one for each configuration."""
    return f"{int.from_bytes(hashlib.sha256((where.label_config or '').encode()).digest()[:4])}.0"


def _predictions(answer: Any, count: int) -> Predictions:
    """One a task. A backend may answer a list for each; of several predictions nobody knows which is meant."""
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list):
        raise BadModelOutput("/predict answers no list `results`")
    if len(results) != count:
        raise BadModelOutput(f"/predict answers {len(results)} results for {count} tasks")
    return [_one(result) for result in results]


def _one(result: Any) -> dict[str, Any]:
    if isinstance(result, list) and len(result) <= 1:
        result = result[0] if result else {"result": []}
    if not isinstance(result, dict):
        raise BadModelOutput("a result of /predict is not one prediction")
    return result


def _version(said: Mapping[str, Any]) -> str | None:
    found = said.get("model_version")
    return str(found)[:200] if found else None


def _reason(content: bytes) -> str:
    """What it says of an error, without the trace that stands beside."""
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ""
    detail = said.get("detail") if isinstance(said, dict) else None
    return f": {detail[:200]}" if isinstance(detail, str) else ""
