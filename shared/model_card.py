"""The model card: what Prelabel must know to use a model, and nothing it could find out by itself."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, JsonValue, model_validator

from shared.errors import FieldError
from shared.preprocessing import MediaType, Preprocessing
from shared.tensors import CardPart, Tensor

Task = Literal[
    "object_detection",
    "face_detection",
    "image_classification",
    "semantic_segmentation",
    "instance_segmentation",
    "keypoint_detection",
    "text_reading",
    "named_entity_recognition",
    "text_classification",
    "zero_shot_classification",
]
AnnotationKind = Literal["bounding_box", "polygon", "mask", "text_entity", "keypoints", "classification"]
ClassName = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]  # as an alignment takes it

ClassesFrom = Literal["card", "labels_file", "onnx_metadata", "id2label"]

OPEN_ENDED_DECODERS = frozenset({"embeddings"})
"""Decoders whose classes are the user's own criteria."""


class DecoderChoice(CardPart):
    """A decoder of `services/inference/decoders` by name, with its parameters."""

    name: str = Field(min_length=1, max_length=100)
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class License(CardPart):
    spdx: str = Field(min_length=1, max_length=100, examples=["Apache-2.0"])
    notice: str = Field(default="", max_length=2000)


class Source(CardPart):
    """Where the weights come from, so that anybody can get the same bytes."""

    package: str = Field(min_length=1, max_length=300)
    file: str = Field(default="", max_length=500)
    upstream: str = Field(default="", max_length=500)


class Quality(CardPart):
    """A measured figure; never one that was only read somewhere."""

    figure: str = Field(min_length=1, max_length=300)
    method: str = Field(min_length=1, max_length=1000)


class CardProblems(ValueError):
    """What does not fit together in a card whose fields are right each for itself; pointers into the card."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(error.detail for error in errors))
        self.errors = tuple(errors)


class ModelCard(CardPart):
    name: str = Field(min_length=1, max_length=200, examples=["NanoDet-g 416"])
    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$", examples=["detect-nanodet"])
    version: str = Field(min_length=1, max_length=50, examples=["1.0.0"])
    description: str = Field(default="", max_length=4000)
    media_type: MediaType
    task: Task
    annotation_kind: AnnotationKind
    classes: tuple[ClassName, ...] = Field(max_length=100_000, description="none where the user writes criteria")
    classes_from: ClassesFrom | None = Field(
        default="card", description="where the names of the classes were read; null until that is known"
    )
    attributes: tuple[str, ...] = Field(default=(), max_length=100, description="what its detections carry besides")
    backend: Literal["onnxruntime", "python"] = "onnxruntime"
    inputs: tuple[Tensor, ...] = Field(min_length=1, max_length=8)
    outputs: tuple[Tensor, ...] = Field(min_length=1, max_length=16)
    max_batch_size: int = Field(ge=1, le=256)
    batch_axis: Literal["free", "one"] = Field(
        default="free", description="`one` for a model whose first axis is fixed at 1; it takes one row a call"
    )
    preprocessing: Preprocessing
    decoder: DecoderChoice
    floor: float = Field(default=0.05, ge=0, le=1, description="the lowest confidence that is stored")
    max_detections: int = Field(default=300, ge=1, le=10_000)
    top_k: int = Field(default=5, ge=1, le=1000, description="classes kept a row by a classifier")
    default_threshold: float = Field(default=0.35, ge=0, le=1)
    license: License
    source: Source
    quality: Quality | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [FieldError(*problem) for problem in self._problems()]
        if problems:
            raise CardProblems(problems)
        return self

    def _problems(self) -> Iterator[tuple[str, str, str]]:
        if len(set(self.classes)) != len(self.classes):
            yield "/classes", "duplicate_class", "class names must be unique"
        if self.default_threshold < self.floor:
            detail = "default_threshold lies under the floor, below which nothing is stored"
            yield "/default_threshold", "threshold_under_floor", detail
        if not self.classes and not self.open_ended and self.classes_from is not None:
            yield "/classes", "classes_missing", "classes are needed, unless the decoder takes criteria"
        if self.batch_axis == "one" and self.max_batch_size != 1:
            yield "/max_batch_size", "batch_too_large", "a model whose batch axis is fixed at 1 takes one row a call"
        if self.preprocessing.media_type != self.media_type:
            detail = f"preprocessing {self.preprocessing.kind!r} does not fit media type {self.media_type!r}"
            yield "/preprocessing", "wrong_media_type", detail
        if problem := self.preprocessing.problem(self.inputs):
            yield "/inputs", "wrong_inputs", problem

    @property
    def open_ended(self) -> bool:
        """Its classes are criteria that the user writes for each run."""
        return self.decoder.name in OPEN_ENDED_DECODERS


class BuiltModel(CardPart):
    """A card with the digest of card and weights: the identity of one catalog version."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    card: ModelCard

    @property
    def triton_name(self) -> str:
        return triton_name(self.card.slug, self.digest)


def triton_name(slug: str, digest: str) -> str:
    """Each catalog version is a Triton model of its own, so that a run keeps the one it started with."""
    return f"{slug}-{digest[:12]}"


def model_digest(card: ModelCard, files: Mapping[str, bytes]) -> str:
    """SHA-256 over the names and contents of all files of the model's version folder and the card's JSON."""
    return digest_of(card, {name: hashlib.sha256(content).digest() for name, content in files.items()})


def digest_of(card: ModelCard, sha256_of_files: Mapping[str, bytes]) -> str:
    """The same, where the contents are hashed already."""
    digest = hashlib.sha256()
    for name, content in sorted(sha256_of_files.items()):
        digest.update(hashlib.sha256(name.encode()).digest() + content)
    digest.update(card.model_dump_json().encode())
    return digest.hexdigest()


def own_digest(model_id: UUID, submission: str) -> str:
    """Of a model that a workspace brought: never that of another entry, so files and Triton names are its alone."""
    return hashlib.sha256(f"{model_id}:{submission}".encode()).hexdigest()


def triton_config(built: BuiltModel) -> str:
    """`config.pbtxt` for Triton's own backends; both tensors lists given, so nothing is auto-completed."""
    card = built.card
    batched = card.batch_axis == "free"
    ahead = () if batched else (1,)  # which Triton does not put in by itself
    return "\n".join(
        [
            f'name: "{built.triton_name}"',
            f'backend: "{card.backend}"',
            f"max_batch_size: {card.max_batch_size if batched else 0}",
            *(f"input [ {_tensor(tensor, ahead)} ]" for tensor in card.inputs),
            *(f"output [ {_tensor(tensor, ahead)} ]" for tensor in card.outputs),
            "instance_group [ { count: 1 } ]",
            *([_dynamic_batching(card.max_batch_size)] if batched else []),
            f'parameters {{ key: "prelabel_digest" value {{ string_value: "{built.digest}" }} }}',
            "",
        ]
    )


def _dynamic_batching(max_batch_size: int) -> str:
    preferred = sorted({min(8, max_batch_size), max_batch_size})
    # No priority levels: with them Triton may leave requests lying for half a second (docs/decisions/0016).
    return f"dynamic_batching {{ preferred_batch_size: {preferred} max_queue_delay_microseconds: 500 }}"


def _tensor(tensor: Tensor, ahead: tuple[int, ...]) -> str:
    datatype = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return f'{{ name: "{tensor.name}" data_type: TYPE_{datatype} dims: {[*ahead, *tensor.shape]} }}'
