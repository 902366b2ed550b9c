"""Label Studio's brush: runs of the bytes of an RGBA picture, row by row, packed in bits.

A head of 32 bits for the number of bytes, 5 for the size of a value and 4 times 4 for the sizes of lengths, each less
one. Then pieces: a bit that says whether one value repeats, two bits that choose the size of the length, the length
less one, and the value once or, where none repeats, each. Whether a pixel belongs to the brush, its alpha says.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from shared.bitmaps import Bitmap, check_size, row_runs

_VALUE_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
_CHANNELS = 4
_PAINTED = 255


def encode(bitmap: Bitmap) -> list[int]:
    """The list of bytes that stands as `rle` in a region."""
    bits = [f"{bitmap.size * _CHANNELS:032b}", f"{_VALUE_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _LENGTH_BITS)]
    for place, run in enumerate(row_runs(bitmap)):
        bits += _packed(run * _CHANNELS, _PAINTED if place % 2 else 0)
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def decode(rle: Sequence[int], height: int, width: int) -> Bitmap:
    """Height x width, 0 and 1. Raises ValueError for what is no brush of this picture."""
    check_size(height, width)
    whole = np.zeros(height * width, np.uint8)
    bits = _Bits(bytes(rle))
    if bits.take(32) != whole.size * _CHANNELS:
        raise ValueError("the brush is one of a picture of another size")
    place = 0
    for length, value in _pieces(bits, whole.size * _CHANNELS):
        if value:
            # The pixels whose alpha, the last of their bytes, lies within the run.
            whole[place // _CHANNELS : (place + length) // _CHANNELS] = 1
        place += length
    return whole.reshape(height, width)


def _packed(length: int, value: int) -> Iterator[str]:
    while length > 0:
        piece = min(length, 2 ** _LENGTH_BITS[-1])
        choice = next(place for place, size in enumerate(_LENGTH_BITS) if piece <= 2**size)
        yield f"1{choice:02b}{piece - 1:0{_LENGTH_BITS[choice]}b}{value:08b}"
        length -= piece


def _pieces(bits: "_Bits", total: int) -> Iterator[tuple[int, int]]:
    value_bits = bits.take(5) + 1
    length_bits = [bits.take(4) + 1 for _ in range(4)]
    done = 0
    while done < total:
        repeats = bits.take(1)
        length = bits.take(length_bits[bits.take(2)]) + 1
        if done + length > total:
            raise ValueError("the brush is longer than its picture")
        done += length
        if repeats:
            yield length, bits.take(value_bits)
        else:
            for _ in range(length):
                yield 1, bits.take(value_bits)


class _Bits:
    def __init__(self, content: bytes) -> None:
        self._text = "".join(f"{byte:08b}" for byte in content)
        self._place = 0

    def take(self, count: int) -> int:
        end = self._place + count
        if end > len(self._text):
            raise ValueError("the brush ends too early")
        value = int(self._text[self._place : end], 2)
        self._place = end
        return value
