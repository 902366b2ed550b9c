"""The answers of a batch are given to its rows in another order than they were asked."""

from typing import Any

from services.inference.decoders import decode_batch
from tests.faults.defects.base import replace


def apply() -> None:
    def decode_reversed(*arguments: Any) -> Any:
        return decode_batch(*arguments)[::-1]

    replace(decode_batch, decode_reversed, "services.inference")
