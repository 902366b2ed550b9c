"""Pixels in the form a model's input has them."""

import numpy as np

from services.inference.tensors import Array
from shared.preprocessing import Pixels as PixelForm

_ORDER = {"rgb": (0, 1, 2), "bgr": (2, 1, 0)}


def fill(form: PixelForm, slot: Array, value: int) -> None:
    """The same pixel value everywhere."""
    put(form, slot, np.broadcast_to(np.uint8(value), (*_plane(form, slot).shape[:2], 3)))


def put(form: PixelForm, slot: Array, pixels: Array, left: int = 0, top: int = 0) -> None:
    """Write UINT8 RGB `pixels`, height x width x 3, into the slot, in the form that `Pixels` of the card defines."""
    region = _plane(form, slot)[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    if form.datatype == "UINT8":
        region[...] = pixels if form.channels == "rgb" else pixels[..., ::-1]
        return
    for channel, source in enumerate(_ORDER[form.channels]):
        factor = np.float32(form.scale / form.std[channel])
        shift = np.float32(form.mean[channel] / form.std[channel])
        np.multiply(pixels[..., source], factor, out=region[..., channel], casting="same_kind")
        if shift:
            np.subtract(region[..., channel], shift, out=region[..., channel], casting="same_kind")


def _plane(form: PixelForm, slot: Array) -> Array:
    """The slot as height x width x 3."""
    return slot if form.layout == "nhwc" else slot.transpose(1, 2, 0)
