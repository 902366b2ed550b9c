"""The outlines of a mask's pixels: rings along their outer corners, straight from the runs.

Pixels that touch at a corner only belong to different parts. Everything is computed on corners, never on a bitmap, so
the cost follows the length of the outline and not the size of the image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely import MultiPolygon, Point, Polygon, STRtree, get_num_coordinates

Integers = NDArray[np.int64]
Ring = list[tuple[int, int]]
_SPECK_SHARE = 1e-3
_EXACT_CORNERS = 500
_TOLERANCE = 1.5
_MOST_CORNERS = 100_000
_TOP, _BOTTOM = 1, 2  # of a column's strip of pixels


@dataclass(frozen=True)
class _Corners:
    """Each corner of a ring with the one that follows it clockwise, the pixels to the right hand."""

    x: Integers
    y: Integers
    following: Integers


def outline(height: int, strokes: Sequence[tuple[int, int]]) -> MultiPolygon | None:
    """The pixels of `strokes`, [start, end) down the columns, as areas with holes; None when there are none.

    What it loses: parts and holes of less than a thousandth of the whole; of an outline of more than 500 corners those
    that move it by at most 1.5 pixels; all of a mask with more than 100,000 corners, which is noise.
    """
    corners = _corners(height, np.array(strokes, np.int64).reshape(-1, 2))
    if not 0 < len(corners.x) <= _MOST_CORNERS:
        return None
    exteriors: list[Ring] = []
    holes: list[Ring] = []
    for ring in _rings(corners):
        (exteriors if _signed_area(ring) > 0 else holes).append(ring)
    whole = MultiPolygon([Polygon(exterior, inside) for exterior, inside in _owned(exteriors, holes)])
    return _simplified(_without_specks(whole))


def _without_specks(areas: MultiPolygon) -> MultiPolygon:
    smallest = areas.area * _SPECK_SHARE
    parts = [part for part in areas.geoms if part.area >= smallest] or [max(areas.geoms, key=lambda part: part.area)]
    return MultiPolygon(
        [Polygon(part.exterior, [hole for hole in part.interiors if Polygon(hole).area >= smallest]) for part in parts]
    )


def _simplified(areas: MultiPolygon) -> MultiPolygon:
    if get_num_coordinates(areas) <= _EXACT_CORNERS:
        return areas
    fewer = areas.simplify(_TOLERANCE)
    return MultiPolygon([fewer]) if isinstance(fewer, Polygon) else fewer


def _corners(height: int, strokes: Integers) -> _Corners:
    column, top, bottom = _strips(height, strokes)
    edges = np.concatenate([column * (height + 1) + top, column * (height + 1) + bottom])
    kinds = np.repeat([_TOP, _BOTTOM], len(column))
    # A place between four pixels has to its right the edges of its own column, to its left those of the one before.
    places, where = np.unique(np.concatenate([edges, edges + height + 1]), return_inverse=True)
    right, left = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    right[where[: len(edges)]] = left[where[len(edges) :]] = kinds
    double = (left != 0) & (right != 0) & (left != right)
    turns = double | (left == 0) | (right == 0)
    return _linked(height, places[turns], left[turns], right[turns])


def _strips(height: int, strokes: Integers) -> tuple[Integers, Integers, Integers]:
    """The strokes cut at the ends of columns: column, top and bottom of each piece."""
    first, last = strokes[:, 0] // height, (strokes[:, 1] - 1) // height
    counts = last - first + 1
    owner = np.repeat(np.arange(len(strokes)), counts)
    column = first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    top = np.maximum(strokes[owner, 0] - column * height, 0)
    bottom = np.minimum(strokes[owner, 1] - column * height, height)
    return column, top, bottom


def _linked(height: int, places: Integers, left: Integers, right: Integers) -> _Corners:
    """Corners in a row are ends of edges by twos, and so are corners in a column."""
    double = (left != 0) & (right != 0)
    # Where two pixels touch at a corner there are two: one ends the edge to its left, one begins that to its right.
    copies = np.repeat(np.arange(len(places)), 1 + double)
    second = np.diff(copies, prepend=-1) == 0
    x, y = places[copies] // (height + 1), places[copies] % (height + 1)
    # The left one goes up where the pixels lie top left and bottom right, and down where they lie the other way.
    goes_down = second ^ (left[copies] == _TOP) & double[copies]
    across = np.lexsort((second, x, y))
    along = np.lexsort((goes_down, y, x))
    starts_edge = np.where(double[copies], second, left[copies] == 0)
    kind = np.where(starts_edge, right[copies], left[copies])
    beside, beyond = _partners(across), _partners(along)
    # A top edge is walked to the right, a bottom edge to the left; from its end, on along the column.
    following = np.where(starts_edge == (kind == _TOP), beside, beyond)
    return _Corners(x, y, following)


def _partners(order: Integers) -> Integers:
    partners = np.empty_like(order)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    return partners


def _rings(corners: _Corners) -> Iterator[Ring]:
    x, y, following = corners.x.tolist(), corners.y.tolist(), corners.following.tolist()
    seen = bytearray(len(following))
    for start in range(len(following)):
        ring: Ring = []
        at = start
        while not seen[at]:
            seen[at] = 1
            ring.append((x[at], y[at]))
            at = following[at]
        if ring:
            yield from _parted(ring)


def _parted(ring: Ring) -> Iterator[Ring]:
    """A ring that comes twice through one place is two rings."""
    if len(set(ring)) == len(ring):
        yield ring
        return
    path: Ring = []
    place: dict[tuple[int, int], int] = {}
    for corner in ring:
        if corner in place:
            start = place[corner]
            yield path[start:]
            for gone in path[start + 1 :]:
                del place[gone]
            del path[start:]
        place[corner] = len(path)
        path.append(corner)
    yield path


def _signed_area(ring: Ring) -> float:
    """Positive when it runs clockwise on screen."""
    array: NDArray[Any] = np.array(ring, np.float64)
    following = np.roll(array, -1, axis=0)
    return float((array[:, 0] * following[:, 1] - following[:, 0] * array[:, 1]).sum()) / 2


def _owned(exteriors: list[Ring], holes: list[Ring]) -> list[tuple[Ring, list[Ring]]]:
    """Each hole with the smallest exterior around a pixel at its edge."""
    inside: list[list[Ring]] = [[] for _ in exteriors]
    if holes:
        shapes = [Polygon(ring) for ring in exteriors]
        beside, around = STRtree(shapes).query([_pixel_beside(ring) for ring in holes], predicate="within")
        smallest: dict[int, int] = {}
        for hole, exterior in zip(beside.tolist(), around.tolist(), strict=True):
            if hole not in smallest or shapes[exterior].area < shapes[smallest[hole]].area:
                smallest[hole] = exterior
        for hole, exterior in smallest.items():
            inside[exterior].append(holes[hole])
    return list(zip(exteriors, inside, strict=True))


def _pixel_beside(ring: Ring) -> Point:
    """The middle of a pixel that belongs to the mask: to the right hand of the ring's first edge across."""
    (x, y), (next_x, next_y) = ring[0], ring[1]
    if y != next_y:
        (x, y), (next_x, next_y) = ring[1], ring[2 % len(ring)]
    return Point(min(x, next_x) + 0.5, y + 0.5 if next_x > x else y - 0.5)
