"""What each decoder is shown by the contract tests. A decoder, or another shape of its outputs, is a new `Sample`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.inference.inputs.placement import Placement, Tokens
from services.inference.served_model import ServedModel, Vocabulary
from shared.annotations import Canvas
from shared.model_card import ModelCard

Outputs = dict[str, NDArray[Any]]
Breaker = Callable[[Outputs], Outputs]
Random = np.random.Generator

CLASSES = ("cat", "dog", "person")
CANVAS = Canvas(width=120, height=80)
PLACEMENT = Placement(CANVAS, 0.5, 0.5, 2.0, 12.0)  # 120 x 80 in the middle of 64 x 64
FRAME = 64

_TEXT = "Ada Lovelace met Charles Babbage, in London and not in Turin."
_SPANS = [(n, m) for n, m in zip(range(0, 60, 5), range(4, 64, 5), strict=True)]
_TOKENS = Tokens(
    np.array([0, *(start for start, _ in _SPANS), 0]),
    np.array([0, *(end for _, end in _SPANS), 0]),
    np.array([-1, *(n // 2 for n in range(len(_SPANS))), -1]),
)
TEXT_PLACEMENT = Placement(Canvas(length=len(_TEXT)), tokens=_TOKENS)
_LABELS = ["O", *(f"{prefix}-{name}" for name in CLASSES for prefix in "BI")]
_POINTS = ["nose", "tail", "left paw", "right paw"]

_CARD: dict[str, Any] = {
    "name": "Sample",
    "slug": "sample",
    "version": "1",
    "media_type": "image",
    "task": "object_detection",
    "classes": CLASSES,
    "inputs": [{"name": "images", "datatype": "UINT8", "shape": [FRAME, FRAME, 3]}],
    "outputs": [{"name": "any", "datatype": "FP32", "shape": [-1]}],
    "max_batch_size": 16,
    "preprocessing": {"kind": "letterbox", "width": FRAME, "height": FRAME},
    "floor": 0.05,
    "max_detections": 7,
    "top_k": 2,
    "license": {"spdx": "Apache-2.0"},
    "source": {"package": "tests"},
}
_TEXT_CARD: dict[str, Any] = {
    "media_type": "text",
    "task": "named_entity_recognition",
    "inputs": [
        {"name": "input_ids", "datatype": "INT64", "shape": [-1]},
        {"name": "attention_mask", "datatype": "INT64", "shape": [-1]},
    ],
    "preprocessing": {"kind": "tokenized"},
}


@dataclass(frozen=True)
class Sample:
    """Outputs as a model may give them, empty ones, and some that no model may give; besides those that are broken for
    every decoder."""

    model: ServedModel
    outputs: Callable[[Random, int], Outputs]
    empty: Callable[[int], Outputs]
    broken: Mapping[str, Breaker] = field(default_factory=dict)
    placement: Placement = PLACEMENT


def sample_card(kind: str, decoder: str, parameters: Mapping[str, Any] | None = None, **changes: Any) -> ModelCard:
    choice = {"name": decoder, "parameters": dict(parameters or {})}
    return ModelCard.model_validate({**_CARD, "annotation_kind": kind, "decoder": choice, **changes})


def served(card: ModelCard, vocabulary: Vocabulary | None = None) -> ServedModel:
    return ServedModel(card, vocabulary or Vocabulary(card.classes))


def changed(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Breaker:
    return lambda outputs: {**outputs, name: change(outputs[name])}


def filled(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda array: np.full_like(array, value)


def widened(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([array, array[..., :1]], axis=-1)


def narrowed(array: NDArray[Any]) -> NDArray[Any]:
    return array[..., :-1]


def flattened(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(len(array), -1)


def broken_for_all(outputs: Outputs) -> dict[str, Outputs]:
    """What no decoder may take, made of outputs that it takes."""
    found = {
        "a row too few": {name: array[:-1] for name, array in outputs.items()},
        "a row too many": {name: np.concatenate([array, array[:1]]) for name, array in outputs.items()},
    }
    for name, array in outputs.items():
        found[f"{name} missing"] = {other: kept for other, kept in outputs.items() if other != name}
        found[f"{name} a row short"] = {**outputs, name: array[:-1]}
        found[f"{name} of words"] = {**outputs, name: np.full(array.shape, b"sure", object)}
        found[f"{name} a scalar"] = {**outputs, name: np.asarray(array.sum())}
        if np.issubdtype(array.dtype, np.floating):
            for value in (np.nan, np.inf):
                found[f"{name} {value}"] = {**outputs, name: np.full_like(array, value)}
    return found


def _floats(array: Any) -> NDArray[np.float32]:
    return np.asarray(array, np.float32)


def _corners(random: Random, rows: int, count: int = 20) -> NDArray[np.float32]:
    """Some of them empty, some partly outside."""
    first = random.uniform(-20, 84, (rows, count, 2))
    sides = random.uniform(0, 60, (rows, count, 2)) * random.choice([0, 0.1, 1], (rows, count, 1))
    return _floats(np.concatenate([first, first + sides], axis=2))


def _centred(random: Random, rows: int, count: int) -> NDArray[np.float32]:
    return _floats(random.uniform((0, 0, 1, 1), (64, 64, 50, 50), (rows, count, 4)))


# --- boxes ----------------------------------------------------------------------------------------------------------


def _boxes(random: Random, rows: int) -> Outputs:
    return {
        "boxes": _corners(random, rows),
        "scores": _floats(random.uniform(0, 1, (rows, 20))),
        "classes": random.integers(0, len(CLASSES), (rows, 20), np.int32),
    }


def _no_boxes(rows: int) -> Outputs:
    return {
        "boxes": np.zeros((rows, 20, 4), np.float32),
        "scores": np.zeros((rows, 20), np.float32),
        "classes": np.zeros((rows, 20), np.int32),
    }


_BOXES = Sample(
    model=served(sample_card("bounding_box", "boxes")),
    outputs=_boxes,
    empty=_no_boxes,
    broken={
        "class too high": changed("classes", filled(len(CLASSES))),
        "class below zero": changed("classes", filled(-1)),
        "score above one": changed("scores", filled(37)),
        "too few corners": changed("boxes", narrowed),
        "too few scores": changed("scores", narrowed),
        "too few classes": changed("classes", narrowed),
    },
)
_BOXES_ONE_SCORE_A_CLASS = Sample(
    model=served(
        sample_card(
            "bounding_box",
            "boxes",
            {"classes": None, "background": 0, "activation": "softmax", "corners": "cxcywh", "units": "normalized"},
        )
    ),
    outputs=lambda random, rows: {
        "boxes": _floats(_centred(random, rows, 20) / FRAME),
        "scores": _floats(random.normal(0, 3, (rows, 20, 4))),
    },
    empty=lambda rows: {
        "boxes": np.zeros((rows, 20, 4), np.float32),
        "scores": np.tile(_floats([50, 0, 0, 0]), (rows, 20, 1)),
    },
    broken={
        "a class too few": changed("scores", narrowed),
        "a class too many": changed("scores", widened),
        "flat boxes": changed("boxes", flattened),
    },
)
_BOXES_JOINED = Sample(
    model=served(sample_card("bounding_box", "boxes", {"boxes": "output0", "joined": True, "nms_iou": None})),
    outputs=lambda random, rows: {
        "output0": np.concatenate(
            [array.reshape(rows, 20, -1).astype(np.float32) for array in _boxes(random, rows).values()], axis=2
        )
    },
    empty=lambda rows: {"output0": np.zeros((rows, 20, 6), np.float32)},
    broken={"a column too few": changed("output0", narrowed), "a column too many": changed("output0", widened)},
)


# --- raw heads ------------------------------------------------------------------------------------------------------

_CELLS = 8 * 8 + 4 * 4 + 2 * 2


def _head(random: Random, rows: int, extra: int = 0) -> NDArray[np.float32]:
    scores = random.beta(0.4, 1.5, (rows, _CELLS, len(CLASSES)))
    more = random.normal(0, 1, (rows, _CELLS, extra))
    return _floats(np.concatenate([_centred(random, rows, _CELLS), scores, more], axis=2))


def _with_objectness(random: Random, rows: int) -> NDArray[np.float32]:
    head = _head(random, rows)
    objectness = _floats(random.uniform(0.2, 1, (rows, _CELLS, 1)))
    return np.concatenate([head[..., :4], objectness, head[..., 4:]], axis=2)


def _yolo(layout: str, outputs: Callable[[Random, int], NDArray[np.float32]]) -> Sample:
    return Sample(
        model=served(sample_card("bounding_box", "yolo", {"layout": layout})),
        outputs=lambda random, rows: {"output0": outputs(random, rows)},
        empty=lambda rows: {"output0": np.zeros_like(outputs(np.random.default_rng(0), rows))},
        broken={
            "logits": changed("output0", filled(4.2)),
            "turned": changed("output0", lambda array: array.transpose(0, 2, 1)),
            "flat": changed("output0", flattened),
            "a number too many": changed("output0", lambda a: np.concatenate([a] * 2, axis=1 if layout == "v8" else 2)),
        },
    )


def _relative_to_cells(random: Random, rows: int) -> NDArray[np.float32]:
    head = _with_objectness(random, rows)
    head[..., :4] = random.uniform((-1, -1, -1, -1), (2, 2, 2, 2), (rows, _CELLS, 4))
    return head


_DETR = Sample(
    model=served(sample_card("bounding_box", "detr")),
    outputs=lambda random, rows: {
        "logits": _floats(random.normal(0, 3, (rows, 10, len(CLASSES) + 1))),
        "pred_boxes": _floats(random.uniform((0, 0, 0.05, 0.05), (1, 1, 0.9, 0.9), (rows, 10, 4))),
    },
    empty=lambda rows: {
        "logits": np.tile(_floats([0] * len(CLASSES) + [50]), (rows, 10, 1)),
        "pred_boxes": np.zeros((rows, 10, 4), np.float32),
    },
    broken={
        "a class too few": changed("logits", narrowed),
        "a class too many": changed("logits", widened),
        "too few corners": changed("pred_boxes", narrowed),
        "flat": changed("logits", flattened),
    },
)

# --- masks ----------------------------------------------------------------------------------------------------------


def _planes(random: Random, rows: int, count: int, side: int = 16) -> NDArray[np.float32]:
    """Smooth, as a model's are."""
    coarse = random.normal(0, 4, (rows, count, 4, 4))
    return _floats(np.kron(coarse, np.ones((side // 4, side // 4))) + random.normal(0, 0.3, (rows, count, side, side)))


_SEMANTIC = Sample(
    model=served(
        sample_card("mask", "semantic_mask", {"activation": "softmax", "background": 0}, task="semantic_segmentation")
    ),
    outputs=lambda random, rows: {"masks": _planes(random, rows, len(CLASSES) + 1)},
    empty=lambda rows: {"masks": np.tile(_floats([50, 0, 0, 0])[:, None, None], (rows, 1, 16, 16))},
    broken={
        "a class too few": changed("masks", lambda array: array[:, 1:]),
        "a class too many": changed("masks", lambda array: np.concatenate([array, array[:, :1]], axis=1)),
        "flat": changed("masks", flattened),
        "one plane": changed("masks", lambda array: array[:, 0]),
        "no cells": changed("masks", lambda array: array[..., :0]),
    },
)
_SEMANTIC_ONE_CLASS = Sample(
    model=served(
        sample_card(
            "mask",
            "semantic_mask",
            {"layout": "hw", "scale": 1 / 255, "exclusive": False},
            classes=("person",),
            task="semantic_segmentation",
        )
    ),
    outputs=lambda random, rows: {"masks": np.clip(_planes(random, rows, 1)[:, 0] * 30 + 128, 0, 255).astype(np.uint8)},
    empty=lambda rows: {"masks": np.zeros((rows, 16, 16), np.uint8)},
    broken={
        "another scale": changed("masks", lambda array: array.astype(np.float32) * 300),
        "two planes": changed("masks", lambda array: np.stack([array, array], axis=1)),
        "flat": changed("masks", flattened),
    },
)
_SEMANTIC_NUMBERS = Sample(
    model=served(sample_card("mask", "semantic_mask", {"layout": "numbers", "background": 0})),
    outputs=lambda random, rows: {"masks": _planes(random, rows, len(CLASSES) + 1).argmax(axis=1)},
    empty=lambda rows: {"masks": np.zeros((rows, 1, 16, 16), np.int64)},
    broken={
        "number too high": changed("masks", filled(len(CLASSES) + 1)),
        "number below zero": changed("masks", filled(-1)),
        "planes": changed("masks", lambda array: np.stack([array, array], axis=1)),
        "flat": changed("masks", flattened),
    },
)
_INSTANCES = Sample(
    model=served(
        sample_card(
            "mask",
            "instance_masks",
            {"form": "box", "activation": "sigmoid", "objects": {"kind": "boxes"}},
            task="instance_segmentation",
        )
    ),
    outputs=lambda random, rows: {**_boxes(random, rows), "masks": _planes(random, rows, 20, 8)[:, :, None]},
    empty=lambda rows: {**_no_boxes(rows), "masks": np.zeros((rows, 20, 8, 8), np.float32)},
    broken={
        **_BOXES.broken,
        "flat masks": changed("masks", flattened),
        "too few masks": changed("masks", lambda array: array[:, :1]),
        "no cells": changed("masks", lambda array: array[..., :0]),
        "planes of masks": changed("masks", lambda array: np.concatenate([array, array], axis=2)),
    },
)
_PROTOTYPES = Sample(
    model=served(
        sample_card(
            "mask",
            "instance_masks",
            {
                "form": "prototypes",
                "activation": "sigmoid",
                "masks": "output1",
                "objects": {"kind": "yolo", "layout": "v8", "extra": 6},
            },
            task="instance_segmentation",
        )
    ),
    outputs=lambda random, rows: {
        "output0": _head(random, rows, 6).transpose(0, 2, 1),
        "output1": _planes(random, rows, 6),
    },
    empty=lambda rows: {
        "output0": np.zeros((rows, 4 + len(CLASSES) + 6, _CELLS), np.float32),
        "output1": np.zeros((rows, 6, 16, 16), np.float32),
    },
    broken={
        "a coefficient too few": changed("output0", lambda array: array[:, :-1]),
        "a prototype too few": changed("output1", lambda array: array[:, :-1]),
        "flat prototypes": changed("output1", flattened),
    },
)

# --- points, tokens and classes -------------------------------------------------------------------------------------


def _points(random: Random, rows: int, *shape: int) -> NDArray[np.float32]:
    return _floats(random.uniform((-9, -9, 0), (73, 73, 1), (rows, *shape, len(_POINTS), 3)))


_KEYPOINTS = Sample(
    model=served(sample_card("keypoints", "keypoints", {"names": _POINTS}, task="keypoint_detection")),
    outputs=lambda random, rows: {**_boxes(random, rows), "keypoints": _points(random, rows, 20)},
    empty=lambda rows: {**_no_boxes(rows), "keypoints": np.zeros((rows, 20, 4, 3), np.float32)},
    broken={
        **_BOXES.broken,
        "a point too few": changed("keypoints", lambda array: array[:, :, 1:]),
        "too few objects": changed("keypoints", lambda array: array[:, :1]),
        "scores above one": changed("keypoints", filled(37)),
        "flat": changed("keypoints", lambda array: array.reshape(len(array), 20, -1)[..., 1:]),
    },
)
_KEYPOINTS_ALONE = Sample(
    model=served(
        sample_card("keypoints", "keypoints", {"names": _POINTS, "objects": None, "order": "yx"}, classes=["person"])
    ),
    outputs=lambda random, rows: {"keypoints": _points(random, rows, 1)},
    empty=lambda rows: {"keypoints": np.zeros((rows, 1, 4, 3), np.float32)},
    broken={
        "a point too few": changed("keypoints", lambda array: array[:, :, 1:]),
        "scores above one": changed("keypoints", filled(37)),
    },
)
_TOKEN_CLASSES = Sample(
    model=served(sample_card("text_entity", "token_classification", {"labels": _LABELS}, **_TEXT_CARD)),
    outputs=lambda random, rows: {"logits": _floats(random.normal(0, 3, (rows, 16, len(_LABELS))))},
    empty=lambda rows: {"logits": np.tile(_floats([50] + [0] * 6), (rows, 16, 1))},
    broken={
        "a label too few": changed("logits", narrowed),
        "a label too many": changed("logits", widened),
        "a token too few": changed("logits", lambda array: array[:, :13]),
        "flat": changed("logits", flattened),
    },
    placement=TEXT_PLACEMENT,
)
_CLASSES = Sample(
    model=served(sample_card("classification", "classification", task="image_classification")),
    outputs=lambda random, rows: {"scores": _floats(random.dirichlet(np.ones(len(CLASSES)), rows))},
    empty=lambda rows: {"scores": np.zeros((rows, len(CLASSES)), np.float32)},
    broken={
        "logits": changed("scores", filled(4.2)),
        "negative": changed("scores", filled(-0.5)),
        "a class too many": changed("scores", widened),
        "a class too few": changed("scores", narrowed),
        "flat": changed("scores", np.ravel),
    },
)


def _read_texts(random: Random, rows: int) -> Outputs:
    texts = random.choice([*b"read me", 0x20AC, 0x1F600], (rows, 9, 6)).astype(np.int32)
    for row, place in np.ndindex(rows, 9):
        texts[row, place, random.integers(0, 7) :] = -1
    quads, scores = random.uniform(-10, 74, (rows, 9, 4, 2)), random.uniform(0, 1, (rows, 9))
    return {"quads": _floats(quads), "scores": _floats(scores), "texts": texts}


_TEXT_BOXES = Sample(
    model=served(sample_card("bounding_box", "text_boxes", task="text_reading", classes=["text"], attributes=["text"])),
    outputs=_read_texts,
    empty=lambda rows: {
        "quads": np.zeros((rows, 1, 4, 2), np.float32),
        "scores": np.zeros((rows, 1), np.float32),
        "texts": np.full((rows, 1, 1), -1, np.int32),
    },
    broken={
        "three corners": changed("quads", lambda array: array[:, :, :3]),
        "negative score": changed("scores", filled(-0.2)),
        "scores above one": changed("scores", filled(37)),
        "too few scores": changed("scores", lambda array: array[:, :5]),
        "too few texts": changed("texts", lambda array: array[:, :5]),
        "no character": changed("texts", filled(0x110000)),
        "half a character": changed("texts", filled(0xD800)),
        "nothing as a character": changed("texts", filled(0)),
        "numbers with a point": changed("texts", lambda array: array.astype(np.float32)),
        "flat": changed("texts", flattened),
    },
)

# --- embeddings -----------------------------------------------------------------------------------------------------

# One direction for each criterion, and one that is none of theirs.
CRITERIA = Vocabulary(CLASSES, np.eye(4, dtype=np.float32)[:3])
_OPEN_CARD: dict[str, Any] = {**_TEXT_CARD, "task": "zero_shot_classification", "classes": ()}


def _embedded(mode: str, empty: Any, floor: float = 0.05) -> Sample:
    parameters = {"mode": mode, "scale": 10, "offset": 0.3}
    card = sample_card("classification", "embeddings", parameters, **_OPEN_CARD)
    return Sample(
        model=served(card.model_copy(update={"floor": floor}), CRITERIA),
        outputs=lambda random, rows: {"embedding": _floats(random.normal(size=(rows, 4)))},
        empty=lambda rows: {"embedding": np.tile(_floats(empty), (rows, 1))},
        broken={
            "no direction": changed("embedding", filled(0)),
            "another space": changed("embedding", narrowed),
            "flat": changed("embedding", np.ravel),
        },
    )


# --- entities -------------------------------------------------------------------------------------------------------


def _entities(random: Random, rows: int) -> Outputs:
    length = len(_TEXT)
    classes = random.integers(-1, len(CLASSES), (rows, 9), np.int32)
    starts = random.integers(0, length, (rows, 9), np.int32)
    spans = np.stack([starts, random.integers(starts + 1, length + 1, dtype=np.int32)], axis=-1)
    scores = _floats(random.uniform(0, 1, (rows, 9)))
    spans[classes < 0], scores[classes < 0] = -1, -1
    return {"classes": classes, "spans": spans, "scores": scores}


_ENTITIES = Sample(
    model=served(sample_card("text_entity", "entities", **_TEXT_CARD)),
    outputs=_entities,
    empty=lambda rows: {
        "classes": np.full((rows, 2), -1, np.int32),
        "spans": np.full((rows, 2, 2), -1, np.int32),
        "scores": np.full((rows, 2), -1, np.float32),
    },
    broken={
        "class too high": changed("classes", filled(len(CLASSES))),
        "unused places that are used": changed("classes", filled(0)),
        "spans before the text": changed("spans", filled(-1)),
        "spans behind the text": changed("spans", lambda array: array + len(_TEXT)),
        "empty spans": changed("spans", filled(3)),
        "turned spans": changed("spans", lambda array: array[..., ::-1]),
        "scores above one": changed("scores", filled(1.5)),
        "a score too few": changed("scores", narrowed),
        "no ends": changed("spans", narrowed),
        "flat": changed("classes", np.ravel),
    },
    placement=TEXT_PLACEMENT,
)

# --- Label Studio ---------------------------------------------------------------------------------------------------


def _predictions(random: Random, rows: int, region: Callable[[Random], dict[str, Any]]) -> Outputs:
    """Some regions of the control, some of another."""
    found = np.empty((rows, 1), np.object_)
    for row in range(rows):
        regions = [
            {"from_name": "label", "to_name": "it", "score": random.uniform(0, 1), **region(random)} for _ in range(9)
        ]
        others = [{"from_name": "other", "type": "textarea", "value": {"text": ["words"]}}]
        found[row, 0] = json.dumps({"result": [*regions, *others], "score": 0.0, "model_version": "1"}).encode()
    return {"prediction": found}


def _labels(random: Random) -> list[str]:
    return [str(random.choice(CLASSES))]


def _percent_box(random: Random) -> dict[str, Any]:
    """Some of them partly outside; none so narrow that rounding leaves nothing."""
    x, y, width, height = random.uniform(-10, 90, 4).round(3).tolist()
    value = {"x": x, "y": y, "width": abs(width) or 0.001, "height": abs(height) or 0.001, "rotation": 0}
    return {"type": "rectanglelabels", "value": {**value, "rectanglelabels": _labels(random)}}


def _percent_ring(random: Random) -> dict[str, Any]:
    points = random.uniform(-5, 105, (6, 2)).tolist()
    return {"type": "polygonlabels", "value": {"points": points, "polygonlabels": _labels(random)}}


def _named_span(random: Random) -> dict[str, Any]:
    start = int(random.integers(0, len(_TEXT) - 1))
    end = int(random.integers(start + 1, len(_TEXT) + 1))
    return {"type": "labels", "value": {"start": start, "end": end, "labels": _labels(random)}}


def _choice(random: Random) -> dict[str, Any]:
    return {"type": "choices", "value": {"choices": _labels(random)}}


def _no_predictions(rows: int) -> Outputs:
    return {"prediction": np.full((rows, 1), b'{"result": [], "score": 0.0}', np.object_)}


def _said(change: Callable[[dict[str, Any]], Any]) -> Breaker:
    """The first region of every row, changed."""

    def edit(raw: bytes) -> bytes:
        said = json.loads(raw)
        return json.dumps({**said, "result": [{**said["result"][0], **change(said["result"][0])}]}).encode()

    def change_all(array: NDArray[Any]) -> NDArray[Any]:
        found = np.empty(array.shape, np.object_)
        found[:, 0] = [edit(raw) for raw in array[:, 0]]
        return found

    return changed("prediction", change_all)


def _region_value(**more: Any) -> Breaker:
    return _said(lambda region: {"value": {**region["value"], **more}})


def _label_studio(
    kind: str,
    regions: str,
    region: Callable[[Random], dict[str, Any]],
    placement: Placement,
    more: Mapping[str, Breaker] | None = None,
) -> Sample:
    card = {**_TEXT_CARD} if placement is TEXT_PLACEMENT else {}
    return Sample(
        model=served(sample_card(kind, "label_studio", {"regions": regions}, **card)),
        outputs=lambda random, rows: _predictions(random, rows, region),
        empty=_no_predictions,
        broken={
            "another label": _region_value(**{regions: ["nobody"]}),
            "labels that are no list": _region_value(**{regions: "cat"}),
            "labels that are no texts": _region_value(**{regions: [1]}),
            "another type": _said(lambda _: {"type": "textarea"}),
            "no value": _said(lambda _: {"value": None}),
            "a score in percent": _said(lambda _: {"score": 37}),
            "a score of words": _said(lambda _: {"score": "sure"}),
            "a score that is NaN": _said(lambda _: {"score": float("nan")}),
            "a region that is no object": changed("prediction", lambda a: np.full_like(a, b'{"result": [1]}')),
            "no list of regions": changed("prediction", lambda a: np.full_like(a, b'{"result": {"1": 2}}')),
            "a list": changed("prediction", lambda a: np.full_like(a, b"[]")),
            "numbers": changed("prediction", lambda a: np.ones(a.shape, np.float32)),
            "flat": changed("prediction", np.ravel),
            **(more or {}),
        },
        placement=placement,
    )


_WHOLE_PICTURE = Placement(CANVAS)
_LABEL_STUDIO = {
    "label studio, boxes": _label_studio(
        "bounding_box",
        "rectanglelabels",
        _percent_box,
        _WHOLE_PICTURE,
        {"no width": _region_value(width=0), "a place of words": _region_value(x="left")},
    ),
    "label studio, polygons": _label_studio(
        "polygon",
        "polygonlabels",
        _percent_ring,
        _WHOLE_PICTURE,
        {"two corners": _region_value(points=[[1, 2], [3, 4]])},
    ),
    "label studio, spans": _label_studio(
        "text_entity",
        "labels",
        _named_span,
        TEXT_PLACEMENT,
        {
            "an end behind the text": _region_value(end=len(_TEXT) + 1),
            "a start before the text": _region_value(start=-1),
            "an empty span": _region_value(start=3, end=3),
            "a place of words": _region_value(start="3"),
            "half a place": _region_value(start=0.5),
        },
    ),
    "label studio, choices": _label_studio("classification", "choices", _choice, _WHOLE_PICTURE),
}

SAMPLES: Mapping[str, Sample] = {
    "boxes": _BOXES,
    "boxes, one score a class": _BOXES_ONE_SCORE_A_CLASS,
    "boxes, joined": _BOXES_JOINED,
    "classification": _CLASSES,
    "detr": _DETR,
    "embeddings in contrast": _embedded("contrast", [-1, -1, -1, 0]),
    "embeddings, exclusive": _embedded("exclusive", [0, 0, 0, 1], floor=0.4),
    "embeddings, independent": _embedded("independent", [-1, -1, -1, 0]),
    "entities": _ENTITIES,
    "instance masks in boxes": _INSTANCES,
    "instance masks of prototypes": _PROTOTYPES,
    "keypoints": _KEYPOINTS,
    "keypoints alone": _KEYPOINTS_ALONE,
    **_LABEL_STUDIO,
    "semantic mask": _SEMANTIC,
    "semantic mask of one class": _SEMANTIC_ONE_CLASS,
    "semantic mask of numbers": _SEMANTIC_NUMBERS,
    "text boxes": _TEXT_BOXES,
    "token classification": _TOKEN_CLASSES,
    "yolo v5": _yolo("v5", _with_objectness),
    "yolo v8": _yolo("v8", lambda random, rows: _head(random, rows).transpose(0, 2, 1)),
    "yolo x": _yolo("x", _relative_to_cells),
}
