"""Models for benches and fault tests, served by the real Triton, in the catalog of the stack that was given them only.

    store = model_store(state / "models", [sleeps(), answers_constant()])
    with StackProcess(StackOptions(state=state, models=store, free_ports=True)) as stack:
        ...                                         # the catalog has these two models and no other

`sleeps` says "even" or "odd" of the sum of a text's bytes, so that an answer paired with the wrong row is seen.
"""

import asyncio
import json
import shutil
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.triton.python_models import STANDSTILL
from deploy.triton.repository import add_model
from shared.model_card import BuiltModel, ModelCard

MAX_BATCH = 32
_CODE = {"model.py": Path(__file__).parent / "model.py", STANDSTILL.name: STANDSTILL}
_ONE_INSTANCE = "instance_group [ { count: 1 } ]"
_SIDE = 64


@dataclass(frozen=True)
class StandIn:
    """`behaviour` is what model.py reads."""

    card: ModelCard
    behaviour: dict[str, Any]
    instances: int = 1


def sleeps(
    instances: int = 1,
    *,
    batch_ms: float = 2.0,
    row_ms: float = 0.5,
    slug: str | None = None,
    max_batch: int = MAX_BATCH,
    hangs: bool = False,
) -> StandIn:
    """Texts in; a batch takes 2 ms and 0.5 ms a row. With more instances the slug is `sleeps-2` and so on. One that
    `hangs` does so when `hang` says it."""
    card = _text_card(slug or _numbered("sleeps", instances), ["even", "odd"], max_batch_size=max_batch)
    return StandIn(card, {**_behaviour(batch_ms, row_ms, parity="scores"), "hangs": hangs}, instances)


def sleeps_on_images(instances: int = 1, *, batch_ms: float = 2.0, row_ms: float = 0.5, side: int = _SIDE) -> StandIn:
    """Pictures in, as RGB bytes of `side` x `side`; one box of a person each."""
    card = _card(
        _numbered("sleeps-on-images", instances),
        ["person"],
        media_type="image",
        task="object_detection",
        annotation_kind="bounding_box",
        inputs=[{"name": "images", "datatype": "UINT8", "shape": [side, side, 3]}],
        outputs=[
            {"name": "boxes", "datatype": "FP32", "shape": [1, 4]},
            {"name": "scores", "datatype": "FP32", "shape": [1]},
            {"name": "classes", "datatype": "INT32", "shape": [1]},
        ],
        preprocessing={"kind": "letterbox", "width": side, "height": side},
        decoder={"name": "boxes"},
    )
    box = [[side / 4, side / 4, side / 2, side / 2]]
    return StandIn(card, _behaviour(batch_ms, row_ms, boxes=box, scores=[0.9], classes=[0]), instances)


def answers_constant(instances: int = 1, *, records: bool = False) -> StandIn:
    """Texts in; "yes" with 0.9 for each, at once. With `records` every call is noted, for `calls`."""
    card = _text_card(_numbered("answers-constant", instances), ["yes", "no"], top_k=1)
    return StandIn(card, {**_behaviour(0, 0, scores=[0.9, 0.1]), "records": records}, instances)


async def hang(store: Path, slug: str) -> None:
    """Until a call of a stand-in hangs in the model, for half a minute, while its process is well."""
    sign = _code(store, slug) / "hang"
    sign.touch()
    while sign.exists():
        await asyncio.sleep(0.01)


def calls(store: Path, slug: str) -> list[tuple[float, int]]:
    """When Triton began each call of a stand-in that records, in seconds since 1970, and how many rows it had."""
    noted = (_code(store, slug) / "calls").read_bytes()
    return [(nanoseconds / 1e9, rows) for nanoseconds, rows in struct.iter_unpack("<qq", noted)]


def _code(store: Path, slug: str) -> Path:
    (found,) = [path for path in store.glob("repository/*/1") if path.parts[-2].rpartition("-")[0] == slug]
    return found


def model_store(folder: Path, stand_ins: Iterable[StandIn]) -> Path:
    """A folder for `StackOptions.models`, made anew, with the stand-ins only."""
    shutil.rmtree(folder, ignore_errors=True)
    for one in stand_ins:
        _add(folder, one)
    return folder


def _add(folder: Path, one: StandIn) -> BuiltModel:
    behaviour = folder / "behaviour.json"
    behaviour.parent.mkdir(parents=True, exist_ok=True)
    behaviour.write_text(json.dumps({**one.behaviour, "instances": one.instances}))
    built = add_model(folder, one.card, {**_CODE, "behaviour.json": behaviour})
    behaviour.unlink()
    config = folder / "repository" / built.triton_name / "config.pbtxt"
    config.write_text(config.read_text().replace(_ONE_INSTANCE, f"instance_group [ {{ count: {one.instances} }} ]"))
    return built


def _behaviour(batch_ms: float, row_ms: float, parity: str | None = None, **constants: Any) -> dict[str, Any]:
    types = {"classes": "int32"}
    rows = {name: {"datatype": types.get(name, "float32"), "row": row} for name, row in constants.items()}
    return {
        "batch_ms": batch_ms,
        "row_ms": row_ms,
        "parity": parity,
        "constants": rows,
        "records": False,
        "hangs": False,
    }


def _text_card(slug: str, classes: Sequence[str], **changes: Any) -> ModelCard:
    return _card(
        slug,
        classes,
        **{
            "media_type": "text",
            "task": "text_classification",
            "annotation_kind": "classification",
            "inputs": [
                {"name": "text", "datatype": "UINT8", "shape": [-1]},
                {"name": "length", "datatype": "INT32", "shape": [1]},
            ],
            "outputs": [{"name": "scores", "datatype": "FP32", "shape": [len(classes)]}],
            "preprocessing": {"kind": "text_bytes"},
            "decoder": {"name": "classification"},
            **changes,
        },
    )


def _card(slug: str, classes: Sequence[str], **rest: Any) -> ModelCard:
    about = {
        "name": f"Stand-in {slug}",
        "slug": slug,
        "version": "1.0.0",
        "description": "Stands in for a model in tests and benches; it knows nothing.",
        "classes": classes,
        "backend": "python",
        "max_batch_size": MAX_BATCH,
        "license": {"spdx": "Apache-2.0"},
        "source": {"package": "tests"},
    }
    return ModelCard.model_validate({**about, **rest})


def _numbered(slug: str, instances: int) -> str:
    return slug if instances == 1 else f"{slug}-{instances}"
