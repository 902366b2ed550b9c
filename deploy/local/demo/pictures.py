"""Draws pre-labels over their photograph."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

_COLORS = ("#d73027", "#1a9850", "#4575b4", "#f46d43", "#984ea3", "#66bd63", "#313695", "#a65628")


def draw(content: bytes, pre_labels: Sequence[dict[str, Any]], target: Path) -> None:
    """Boxes and outlines with class and confidence; answers about the whole picture as lines below it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(content)) as picture:
        # Coordinates are those of the oriented picture.
        canvas = ImageOps.exif_transpose(picture).convert("RGB")
    size = max(12, canvas.width // 40)
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(canvas)
    lines = []
    for one in pre_labels:
        kind = one["annotation"]["kind"]
        if kind == "bounding_box":
            _box(pen, one, font, size)
        elif kind == "polygon":
            _outline(pen, one, font, size)
        else:
            lines.append(_caption(one))
    _with_lines(canvas, lines if pre_labels else ["nothing found"], font, size).save(target)


def _box(pen: ImageDraw.ImageDraw, one: dict[str, Any], font: Any, size: int) -> None:
    box = one["annotation"]
    corners = (box["left"], box["top"], box["left"] + box["width"], box["top"] + box["height"])
    pen.rectangle(corners, outline=_color(one), width=max(2, size // 6))
    _write(pen, one, font, (corners[0], max(0, corners[1] - size - 4)))


def _outline(pen: ImageDraw.ImageDraw, one: dict[str, Any], font: Any, size: int) -> None:
    for part in one["annotation"]["parts"]:
        for ring in (part["exterior"], *part["holes"]):
            points = [(x, y) for x, y in [*ring, ring[0]]]
            pen.line(points, fill=_color(one), width=max(2, size // 6))
    middle = one["annotation"]["parts"][0]["exterior"]
    left = sum(x for x, _ in middle) / len(middle)
    _write(pen, one, font, (left, max(y for _, y in middle) - 2 * size))


def _write(pen: ImageDraw.ImageDraw, one: dict[str, Any], font: Any, at: tuple[float, float]) -> None:
    area = pen.textbbox(at, _caption(one), font=font)
    pen.rectangle((area[0] - 3, area[1] - 2, area[2] + 3, area[3] + 2), fill=_color(one))
    pen.text(at, _caption(one), fill="white", font=font)


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
    read = "".join(
        f" “{answer['annotation']['text']}”"
        for answer in one["classifications"]
        if answer["annotation"]["kind"] == "free_text"
    )
    return f"{one['feature_name']}{option}{read} {one['confidence']:.2f}"


def _color(one: dict[str, Any]) -> str:
    """The same for the same feature in every picture."""
    name = one["feature_name"]
    return _COLORS[sum(ord(letter) * (index + 1) for index, letter in enumerate(name)) % len(_COLORS)]
