"""How a data row becomes a model's input, by `kind`. To add one: write its class, add it to `Preprocessing`, and name
what does it in `services/inference/inputs`.

Each says which media type it reads and, by `problem`, what it lacks in the inputs of a card.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.tensors import CardPart, Datatype, Tensor

MediaType = Literal["image", "text"]
Side = Annotated[int, Field(gt=0, le=4096, description="in model pixels")]
_Channel = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Pixels(CardPart):
    """How pixels stand in the input: `value = (pixel x scale - mean) / std`, with pixels from 0 to 255 and `mean` and
    `std` in the order of `channels`. UINT8 pixels stay as they are.

    Ultralytics: FP32, nchw, scale 1/255. YOLOX: FP32, nchw, bgr. Torchvision and DETR: FP32, nchw, scale 1/255,
    mean 0.485, 0.456, 0.406 and std 0.229, 0.224, 0.225.
    """

    datatype: Literal["UINT8", "FP16", "FP32"] = Field(default="UINT8", description="of the input")
    layout: Literal["nhwc", "nchw"] = Field(default="nhwc", description="of the input: channels last or first")
    channels: Literal["rgb", "bgr"] = Field(default="rgb", description="their order")
    scale: _Positive = Field(default=1.0, description="what pixels are multiplied by")
    mean: tuple[_Channel, _Channel, _Channel] = Field(
        default=(0.0, 0.0, 0.0), description="then taken from each channel"
    )
    std: tuple[_Positive, _Positive, _Positive] = Field(
        default=(1.0, 1.0, 1.0), description="what each channel is divided by at last"
    )

    @model_validator(mode="after")
    def _bytes_stay(self) -> Self:
        if self.datatype == "UINT8" and (self.scale, self.mean, self.std) != (1.0, (0.0,) * 3, (1.0,) * 3):
            raise ValueError("UINT8 pixels take no scale, mean or std")
        return self

    def shape(self, width: int, height: int) -> tuple[int, int, int]:
        return (height, width, 3) if self.layout == "nhwc" else (3, height, width)


class _Image(CardPart):
    """A preprocessor that makes one picture of a fixed size."""

    media_type: ClassVar[MediaType] = "image"
    pixels: Pixels = Field(default=Pixels(), description="how pixels stand in the input")

    @property
    def frame(self) -> tuple[int, int]:
        """Width and height of the picture the model sees."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pixels.shape(*self.frame)

    def problem(self, inputs: Sequence[Tensor]) -> str | None:
        return _one_input(inputs, self.pixels.datatype, self.shape)


class Letterbox(_Image):
    """Scale to fit and keep the aspect; what is left of the width or height is plain ground of `fill`."""

    kind: Literal["letterbox"] = "letterbox"
    width: Side
    height: Side
    fill: int = Field(default=0, ge=0, le=255, description="before scale, mean and std")
    align: Literal["center", "top_left"] = Field(default="center", description="where the image lies on the ground")

    @property
    def frame(self) -> tuple[int, int]:
        return self.width, self.height


class Stretch(_Image):
    """The whole image, scaled to `width` x `height` whatever its aspect."""

    kind: Literal["stretch"] = "stretch"
    width: Side
    height: Side

    @property
    def frame(self) -> tuple[int, int]:
        return self.width, self.height


class CenterCrop(_Image):
    """The centred square of `fraction` of the shorter side, scaled to `size` x `size`."""

    kind: Literal["center_crop"] = "center_crop"
    size: Side
    fraction: float = Field(default=0.875, gt=0, le=1, description="of the shorter side that is kept")

    @property
    def frame(self) -> tuple[int, int]:
        return self.size, self.size


class EncodedImage(CardPart):
    """The picture as a file, in the bytes it came in, for servers that decode by themselves. One that EXIF turns is
    written anew, upright, as a JPEG, so that positions mean the same on both sides."""

    media_type: ClassVar[MediaType] = "image"
    kind: Literal["encoded_image"] = "encoded_image"

    @property
    def shape(self) -> tuple[int, ...]:
        return (1,)

    def problem(self, inputs: Sequence[Tensor]) -> str | None:
        return _one_input(inputs, "BYTES", self.shape)


class PlainText(CardPart):
    """The text as one UTF-8 string; the model tokenizes by itself."""

    media_type: ClassVar[MediaType] = "text"
    kind: Literal["plain_text"] = "plain_text"

    @property
    def shape(self) -> tuple[int, ...]:
        return (1,)

    def problem(self, inputs: Sequence[Tensor]) -> str | None:
        return _one_input(inputs, "BYTES", self.shape)


class TextBytes(CardPart):
    """The text's UTF-8 bytes, padded with zeros, beside their number; the model tokenizes by itself.

    For Triton's Python backend, which reads strings only where its NumPy is of version 1. A text of more than
    `max_bytes` is cut before the word that does not fit; its detections then carry the attribute `read_to`. Rows are
    padded to the next power of two from 64 on, so what a row gets never depends on its neighbours.
    """

    media_type: ClassVar[MediaType] = "text"
    kind: Literal["text_bytes"] = "text_bytes"
    text: str = Field(default="text", description="the input that takes the bytes, UINT8 of any length")
    length: str = Field(default="length", description="the input that takes how many there are, one INT32")
    max_bytes: int = Field(default=32_768, ge=64, le=1_000_000, description="bytes the model takes")

    def problem(self, inputs: Sequence[Tensor]) -> str | None:
        wanted = [(self.text, "UINT8", (-1,)), (self.length, "INT32", (1,))]
        if sorted(wanted) != sorted((tensor.name, tensor.datatype, tensor.shape) for tensor in inputs):
            return f"preprocessing 'text_bytes' fills {self.text!r} (UINT8, [-1]) and {self.length!r} (INT32, [1])"
        return None


class Tokenized(CardPart):
    """Token numbers by a Hugging Face `tokenizers` file, kept beside the model.

    A text of more tokens than `max_length`, special ones included, is cut there; its detections then carry the
    attribute `read_to`, the code point up to which the model read. Rows are padded to the next power of two from 16 on,
    or to the length the card's inputs fix, so what a row gets never depends on its neighbours.
    """

    media_type: ClassVar[MediaType] = "text"
    kind: Literal["tokenized"] = "tokenized"
    tokenizer: Literal["tokenizer.json"] = Field(default="tokenizer.json", description="the name of the file")
    max_length: int = Field(default=512, ge=4, le=8192, description="tokens the model takes, special ones included")
    ids: str = Field(default="input_ids", description="the input that takes token numbers")
    attention_mask: str | None = Field(default="attention_mask", description="1 for a token, 0 for padding")
    token_types: str | None = Field(default=None, description="the input that takes type numbers, all 0")
    pad_id: int | None = Field(default=None, ge=0, description="of the padding; else the tokenizer's own")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs it fills."""
        return tuple(name for name in (self.ids, self.attention_mask, self.token_types) if name is not None)

    def problem(self, inputs: Sequence[Tensor]) -> str | None:
        if sorted(self.names) != sorted(tensor.name for tensor in inputs):
            return f"preprocessing 'tokenized' fills the inputs {sorted(self.names)}"
        for tensor in inputs:
            if tensor.datatype not in ("INT32", "INT64") or len(tensor.shape) != 1:
                return f"input {tensor.name!r} must be INT32 or INT64 with one axis for preprocessing 'tokenized'"
            if tensor.shape != inputs[0].shape:
                return "all inputs must have the same length for preprocessing 'tokenized'"
            if tensor.shape[0] != -1 and tensor.shape[0] < self.max_length:
                return f"input {tensor.name!r} takes {tensor.shape[0]} tokens, but max_length is {self.max_length}"
        return None


Preprocessing = Annotated[
    Letterbox | Stretch | CenterCrop | EncodedImage | PlainText | TextBytes | Tokenized, Field(discriminator="kind")
]


def _one_input(inputs: Sequence[Tensor], datatype: Datatype, shape: tuple[int, ...]) -> str | None:
    if len(inputs) != 1:
        return "the preprocessing fills one input"
    if inputs[0].datatype != datatype or not inputs[0].takes(shape):
        return (
            f"the preprocessing makes {datatype} of shape {list(shape)}, which input {inputs[0].name!r} does not take"
        )
    return None
