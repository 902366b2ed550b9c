"""A model's process that stood still while it was asked: what it says afterwards never goes to another call."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from services.inference.failures import ModelBroken
from services.inference.triton import Triton
from shared.model_card import BuiltModel
from tests.bench.texts import batch_of
from tests.support.stand_ins import model_store, sleeps
from tests.support.world import built_models

_AT_WORK_SECONDS, _STANDS_SECONDS = 0.3, 2.5
_EVEN, _ODD = [b"\2", b"\4"], [b"\1", b"\3"]


@pytest.fixture(scope="module")
def models() -> Path:
    return model_store(
        ROOT / "var" / "test" / f"standstill-{os.getpid()}" / "models", [sleeps(batch_ms=_AT_WORK_SECONDS * 1000)]
    )


@pytest.fixture(scope="module")
def stack(models: Path) -> Iterator[StackProcess]:
    started = StackProcess(StackOptions(state=models.parent, models=models, free_ports=True, servers_only=True))
    try:
        with started:
            yield started
    finally:
        started.remove()


@pytest.fixture
async def triton(stack: StackProcess) -> AsyncIterator[Triton]:
    client = Triton(stack.addresses.triton_url, 20)
    yield client
    await client.close()


async def test_no_call_gets_the_answer_of_another(stack: StackProcess, triton: Triton, models: Path) -> None:
    built = built_models(models)["sleeps"]
    assert await _said(triton, built, _EVEN) == ["even", "even"]
    process = _process_of(stack, built)
    call = asyncio.create_task(_said(triton, built, _EVEN))
    await asyncio.sleep(_AT_WORK_SECONDS / 3)
    os.kill(process, signal.SIGSTOP)
    await asyncio.sleep(_STANDS_SECONDS)
    os.kill(process, signal.SIGCONT)
    with pytest.raises(ModelBroken):
        await call
    with pytest.raises(ModelBroken):
        assert await _said(triton, built, _ODD) == ["odd", "odd"], "the answer was that of the call before"
    await triton.reload(built.triton_name)
    assert await _said(triton, built, _ODD) == ["odd", "odd"]


async def test_work_is_no_standstill(triton: Triton, models: Path) -> None:
    built = built_models(models)["sleeps"]
    for _ in range(3):
        assert await _said(triton, built, [*_ODD, *_EVEN] * 8) == ["odd", "odd", "even", "even"] * 8


async def _said(triton: Triton, built: BuiltModel, texts: Sequence[bytes]) -> list[str]:
    scores = (await triton.infer(built.triton_name, built.card, batch_of(texts)))["scores"]
    return [built.card.classes[place] for place in np.argmax(scores, axis=1)]


def _process_of(stack: StackProcess, built: BuiltModel) -> int:
    """That in which Triton runs the model."""
    server = stack.status().services["triton"].process
    assert server is not None
    children = (path.read_text().split() for path in Path(f"/proc/{server.pid}/task").glob("*/children"))
    (found,) = [int(one) for some in children for one in some if _runs(int(one), built)]
    return found


def _runs(process: int, built: BuiltModel) -> bool:
    return built.triton_name.encode() in Path(f"/proc/{process}/cmdline").read_bytes()
