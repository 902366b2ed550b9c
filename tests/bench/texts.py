"""Short texts as the stand-ins take them, and the loop that a run over them is measured against."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np

from services.inference.tensors import Array
from services.inference.triton import Triton
from shared.model_card import BuiltModel
from tests.support.stand_ins import MAX_BATCH

_LENGTH, _IN_FLIGHT = 64, 4


def batch_of(texts: Sequence[bytes]) -> dict[str, Array]:
    """None longer than 64 bytes."""
    padded = b"".join(text.ljust(_LENGTH, b"\0") for text in texts)
    return {
        "text": np.frombuffer(padded, np.uint8).reshape(len(texts), _LENGTH),
        "length": np.array([[len(text)] for text in texts], np.int32),
    }


@dataclass(frozen=True)
class BareLoop:
    """PostgreSQL, Triton, COPY, in batches of 32 with four under way, each its own durable transaction; nothing else:
    no lease, no counters, no events, one row stored for each."""

    pool: "asyncpg.Pool[Any]"
    triton: Triton
    built: BuiltModel
    data_row_ids: Sequence[UUID]

    async def rate(self) -> float:
        """Rows a second."""
        await self.pool.execute("DROP TABLE IF EXISTS bare")
        await self.pool.execute("CREATE TABLE bare (id uuid PRIMARY KEY, model_class text, confidence float8)")
        places = asyncio.Semaphore(_IN_FLIGHT)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for ids in _batches(self.data_row_ids):
                group.create_task(self._batch(ids, places))
        return len(self.data_row_ids) / (time.perf_counter() - began)

    async def infer_only(self) -> float:
        """CPU seconds of this process for all rows, when they are only sent."""
        places, tensors = asyncio.Semaphore(_IN_FLIGHT), batch_of([b"1"] * MAX_BATCH)

        async def call() -> None:
            async with places:
                await self.triton.infer(self.built.triton_name, self.built.card, tensors)

        before = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in _batches(self.data_row_ids):
                group.create_task(call())
        return time.process_time() - before

    async def _batch(self, ids: Sequence[UUID], places: asyncio.Semaphore) -> None:
        async with places:
            async with self.pool.acquire() as connection:
                rows = await connection.fetch(
                    "SELECT data_row_id, text FROM data_row_contents WHERE data_row_id = ANY($1)", ids
                )
            tensors = batch_of([row["text"].encode() for row in rows])
            scores = (await self.triton.infer(self.built.triton_name, self.built.card, tensors))["scores"]
            best = scores.argmax(axis=1)
            records = [
                (row["data_row_id"], self.built.card.classes[one], float(given[one]))
                for row, one, given in zip(rows, best, scores, strict=True)
            ]
            async with self.pool.acquire() as connection:
                await connection.copy_records_to_table("bare", records=records)


def _batches(ids: Sequence[UUID]) -> list[Sequence[UUID]]:
    return [ids[start : start + MAX_BATCH] for start in range(0, len(ids), MAX_BATCH)]
