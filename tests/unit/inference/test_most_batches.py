"""How many batches of a model a lane has under way."""

import pytest

from services.inference.calls import most_batches
from shared.preprocessing import EncodedImage, Letterbox, PlainText, Preprocessing, TextBytes, Tokenized
from shared.tensors import Tensor

_IMAGE = Letterbox(width=640, height=640)


@pytest.mark.parametrize(
    ("tensor", "preprocessing", "size", "expected"),
    [
        ({"name": "text", "datatype": "BYTES", "shape": [1]}, PlainText(), 32, 128),
        ({"name": "picture", "datatype": "BYTES", "shape": [1]}, EncodedImage(), 32, 4),
        ({"name": "image", "datatype": "UINT8", "shape": [1024, 1024]}, _IMAGE, 8, 8),
        ({"name": "image", "datatype": "FP32", "shape": [3, 640, 640]}, _IMAGE, 8, 4),
        ({"name": "image", "datatype": "FP32", "shape": [3, -1, -1]}, _IMAGE, 8, 4),
        ({"name": "tokens", "datatype": "INT64", "shape": [-1]}, Tokenized(max_length=500), 32, 512),
        ({"name": "text", "datatype": "UINT8", "shape": [-1]}, TextBytes(max_bytes=32_768), 32, 64),
        ({"name": "text", "datatype": "UINT8", "shape": [-1]}, TextBytes(max_bytes=1_000_000), 32, 4),
    ],
)
def test_large_batches_are_fewer(
    tensor: dict[str, object], preprocessing: Preprocessing, size: int, expected: int
) -> None:
    assert most_batches([Tensor.model_validate(tensor)], size, preprocessing) == expected
