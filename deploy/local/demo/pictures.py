"""Draws pre-labels over their photograph."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

_COLORS = ("#d73027", "#1a9850", "#4575b4", "#f46d43", "#984ea3", "#66bd63", "#313695", "#a65628")


def draw(content: bytes, pre_labels: Sequence[dict[str, Any]], target: Path) -> None:
    """Boxes with class and confidence; answers about the whole picture as lines below it."""
    with Image.open(io.BytesIO(content)) as picture:
        # Coordinates are those of the oriented picture.
        canvas = ImageOps.exif_transpose(picture).convert("RGB")
    boxes = [one for one in pre_labels if one["annotation"]["kind"] == "bounding_box"]
    answers = [one for one in pre_labels if one["annotation"]["kind"] != "bounding_box"]
    size = max(12, canvas.width // 40)
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(canvas)
    for one in boxes:
        _box(pen, one, font, size)
    _with_lines(canvas, [_caption(one) for one in answers], font, size).save(target)


def _box(pen: ImageDraw.ImageDraw, one: dict[str, Any], font: Any, size: int) -> None:
    box = one["annotation"]
    color = _COLORS[hash_of(one["feature_name"]) % len(_COLORS)]
    corners = (box["left"], box["top"], box["left"] + box["width"], box["top"] + box["height"])
    pen.rectangle(corners, outline=color, width=max(2, size // 6))
    top = max(0, corners[1] - size - 4)
    area = pen.textbbox((corners[0], top), _caption(one), font=font)
    pen.rectangle((area[0] - 3, area[1] - 2, area[2] + 3, area[3] + 2), fill=color)
    pen.text((corners[0], top), _caption(one), fill="white", font=font)


def _with_lines(canvas: Image.Image, lines: Sequence[str], font: Any, size: int) -> Image.Image:
    if not lines:
        return canvas
    taller = Image.new("RGB", (canvas.width, canvas.height + (size + 6) * len(lines) + 6), "white")
    taller.paste(canvas)
    pen = ImageDraw.Draw(taller)
    for index, line in enumerate(lines):
        pen.text((6, canvas.height + 4 + index * (size + 6)), line, fill="black", font=font)
    return taller


def _caption(one: dict[str, Any]) -> str:
    option = f": {one['option_name']}" if one.get("option_name") else ""
    return f"{one['feature_name']}{option} {one['confidence']:.2f}"


def hash_of(name: str) -> int:
    """The same color for the same feature in every picture."""
    return sum(ord(letter) * (index + 1) for index, letter in enumerate(name))
