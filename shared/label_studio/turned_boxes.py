"""Boxes turned about their top left corner, as Label Studio draws them; ours turn about the centre."""

import math

from shared.annotations import BoundingBox


def corner_of(box: BoundingBox) -> tuple[float, float]:
    """Where its top left corner lies once it is turned."""
    return box.corners()[0]


def box_at_corner(corner: tuple[float, float], width: float, height: float, rotation: float) -> BoundingBox:
    """The box whose top left corner lies there once it is turned. Raises pydantic's ValidationError."""
    turned = rotation % 360
    angle = math.radians(turned)
    cos, sin = math.cos(angle), math.sin(angle)
    middle_x = corner[0] + width / 2 * cos - height / 2 * sin
    middle_y = corner[1] + width / 2 * sin + height / 2 * cos
    left, top = (middle_x - width / 2, middle_y - height / 2) if turned else corner
    return BoundingBox(left=left, top=top, width=width, height=height, rotation=turned or None)
