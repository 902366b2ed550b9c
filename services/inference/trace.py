"""What is stored beside an outcome for the trace of its data row: one text a batch, shared by all its rows."""

import orjson

from services.inference.inputs import PreparedBatch
from services.inference.segments import Claim


def trace_of(claim: Claim, batch: PreparedBatch, answered: tuple[float, float], decode: float) -> str:
    """JSON, without what was not measured. Times in seconds; `answered`: when (`perf_counter`) and after how long."""
    answered_at, infer = answered
    told: dict[str, float | str] = {"infer_ms": _ms(infer), "decode_ms": _ms(decode)}
    if batch.taken is not None:
        told["fetch_ms"], told["prepare_ms"] = _ms(batch.taken.fetch), _ms(batch.taken.prepare)
        told["queue_ms"] = _ms(answered_at - batch.taken.ready_at - infer)
    told |= {"batch_rows": len(batch.rows), "batch_id": batch.id, "worker": claim.holder}
    return orjson.dumps(told).decode()


def worker_of(claim: Claim) -> str:
    """JSON, for a row of which there is no answer."""
    return orjson.dumps({"worker": claim.holder}).decode()


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 2)
