"""How many batches of a model a lane has under way at most, by their size."""

import pytest

from services.inference.calls import most_batches
from shared.tensors import Tensor


@pytest.mark.parametrize(
    ("tensor", "size", "expected"),
    [
        ({"name": "text", "datatype": "BYTES", "shape": [1]}, 32, 128),
        ({"name": "image", "datatype": "UINT8", "shape": [1024, 1024]}, 8, 8),
        ({"name": "image", "datatype": "FP32", "shape": [3, 640, 640]}, 8, 4),
        ({"name": "tokens", "datatype": "INT64", "shape": [-1]}, 32, 4),
    ],
)
def test_large_batches_are_fewer(tensor: dict[str, object], size: int, expected: int) -> None:
    assert most_batches([Tensor.model_validate(tensor)], size) == expected
