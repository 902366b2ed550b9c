"""Rings of polygons as other formats have them: in any direction, sometimes closed."""

from collections.abc import Sequence
from itertools import pairwise

Ring = tuple[tuple[float, float], ...]


def clockwise(ring: Sequence[tuple[float, float]]) -> Ring:
    """On screen, as ours run; a last point that repeats the first is left out."""
    opened = tuple(ring[:-1]) if len(ring) > 1 and ring[0] == ring[-1] else tuple(ring)
    # With y downwards a positive area runs clockwise on screen.
    return opened if signed_area(opened) >= 0 else opened[::-1]


def signed_area(ring: Sequence[tuple[float, float]]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise([*ring, *ring[:1]])) / 2


def flat(ring: Sequence[tuple[float, float]]) -> list[float]:
    return [value for position in ring for value in position]
