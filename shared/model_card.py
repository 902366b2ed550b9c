"""The model card: what Prelabel must know to use a model, and nothing it could find out by itself."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Datatype = Literal["BOOL", "UINT8", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"]
Task = Literal[
    "object_detection",
    "image_classification",
    "text_classification",
    "named_entity_recognition",
]
MediaType = Literal["image", "text"]
ClassName = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]  # as an alignment takes it


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(_Part):
    """One input or output; `shape` without the batch axis, -1 where it is free."""

    # What stands in the text of config.pbtxt without being quoted.
    name: str = Field(min_length=1, max_length=200, pattern=r'^[^"\\\x00-\x1f]+$')
    datatype: Datatype
    shape: tuple[int, ...]


class Letterbox(_Part):
    """Scale to fit, keep the aspect, centre on a plain ground. Pixels stay UINT8 RGB, height x width x 3."""

    kind: Literal["letterbox"] = "letterbox"
    width: int = Field(gt=0, le=4096)
    height: int = Field(gt=0, le=4096)
    fill: int = Field(default=0, ge=0, le=255)


class CenterCrop(_Part):
    """The centred square of `fraction` of the shorter side, scaled to `size` x `size` UINT8 RGB."""

    kind: Literal["center_crop"] = "center_crop"
    size: int = Field(gt=0, le=4096)
    fraction: float = Field(default=0.875, gt=0, le=1)


class PlainText(_Part):
    """The text as one UTF-8 string; the model tokenizes by itself."""

    kind: Literal["plain_text"] = "plain_text"


Preprocessing = Annotated[Letterbox | CenterCrop | PlainText, Field(discriminator="kind")]


class DecoderChoice(_Part):
    """A decoder of `services/inference/decoders` by name, with its parameters."""

    name: str = Field(min_length=1, max_length=100)
    parameters: dict[str, JsonValue] = {}


class License(_Part):
    spdx: str = Field(min_length=1, max_length=100, examples=["Apache-2.0"])
    notice: str = Field(default="", max_length=2000)


class Source(_Part):
    """Where the weights come from, so that anybody can get the same bytes."""

    package: str = Field(min_length=1, max_length=300)
    file: str = Field(default="", max_length=500)
    upstream: str = Field(default="", max_length=500)


class Quality(_Part):
    """A measured figure; never one that was only read somewhere."""

    figure: str = Field(min_length=1, max_length=300)
    method: str = Field(min_length=1, max_length=1000)


class ModelCard(_Part):
    name: str = Field(min_length=1, max_length=200, examples=["NanoDet-g 416"])
    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$", examples=["detect-nanodet"])
    version: str = Field(min_length=1, max_length=50, examples=["1.0.0"])
    description: str = Field(default="", max_length=4000)
    media_type: MediaType
    task: Task
    annotation_kind: Literal["bounding_box", "polygon", "mask", "text_entity", "keypoints", "classification"]
    classes: tuple[ClassName, ...] = Field(min_length=1, max_length=100_000)
    inputs: tuple[Tensor, ...] = Field(min_length=1, max_length=8)
    outputs: tuple[Tensor, ...] = Field(min_length=1, max_length=16)
    max_batch_size: int = Field(ge=1, le=256)
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
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("class names must be unique")
        if self.default_threshold < self.floor:
            raise ValueError("default_threshold lies under the floor, below which nothing is stored")
        if (self.preprocessing.kind == "plain_text") != (self.media_type == "text"):
            raise ValueError(f"preprocessing {self.preprocessing.kind!r} does not fit media type {self.media_type!r}")
        return self


class BuiltModel(_Part):
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
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        for part in (name.encode(), content):
            digest.update(hashlib.sha256(part).digest())
    digest.update(card.model_dump_json().encode())
    return digest.hexdigest()


def triton_config(built: BuiltModel) -> str:
    """`config.pbtxt` for the native ONNX Runtime backend; both tensors lists given, so nothing is auto-completed."""
    card = built.card
    preferred = sorted({min(8, card.max_batch_size), card.max_batch_size})
    return "\n".join(
        [
            f'name: "{built.triton_name}"',
            'backend: "onnxruntime"',
            f"max_batch_size: {card.max_batch_size}",
            *(f"input [ {_tensor(tensor)} ]" for tensor in card.inputs),
            *(f"output [ {_tensor(tensor)} ]" for tensor in card.outputs),
            "instance_group [ { count: 1 } ]",
            f"dynamic_batching {{ preferred_batch_size: {preferred} max_queue_delay_microseconds: 500 }}",
            f'parameters {{ key: "prelabel_digest" value {{ string_value: "{built.digest}" }} }}',
            "",
        ]
    )


def _tensor(tensor: Tensor) -> str:
    datatype = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return f'{{ name: "{tensor.name}" data_type: TYPE_{datatype} dims: {list(tensor.shape)} }}'
