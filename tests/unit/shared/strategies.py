"""What hypothesis makes of annotations and alignments."""

from uuid import UUID

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from shared.annotations import (
    AnnotationValue,
    BoundingBox,
    CheckedOption,
    Checklist,
    Classification,
    FreeText,
    Keypoint,
    Keypoints,
    Mask,
    Point,
    Polygon,
    PolygonPart,
    Polyline,
    Radio,
    TextEntity,
)
from shared.annotations.base import FARTHEST

IDS = [UUID(int=number) for number in range(1, 5)]
ids = st.sampled_from(IDS)
near = st.floats(-100, 100).map(lambda value: round(value, 3))
sizes = st.floats(0.01, 200).map(lambda value: round(value, 3))
anywhere = st.floats(-FARTHEST, FARTHEST)
positions = st.tuples(near, near)
far_positions = st.tuples(anywhere, anywhere)


def bitmaps(most: int = 8) -> st.SearchStrategy[NDArray[np.uint8]]:
    """Small masks, 0 and 1."""

    def of(shape: tuple[int, int]) -> st.SearchStrategy[NDArray[np.uint8]]:
        pixels = st.lists(st.integers(0, 1), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
        return pixels.map(lambda values: np.array(values, np.uint8).reshape(shape))

    return st.tuples(st.integers(1, most), st.integers(1, most)).flatmap(of)


def mask_of(bitmap: NDArray[np.uint8]) -> Mask:
    rle = coco.encode(np.asfortranarray(bitmap))
    return Mask(size=bitmap.shape, counts=rle["counts"].decode())


def encoded(runs: list[int]) -> str:
    """COCO's compressed text of runs, empty ones included, as other writers leave them."""
    text = ""
    for place, run in enumerate(runs):
        value, more = run - (runs[place - 2] if place > 2 else 0), True
        while more:
            group, value = value & 0x1F, value >> 5
            more = value != -1 if group & 0x10 else value != 0
            text += chr((group | 0x20 if more else group) + 48)
    return text


boxes = st.builds(
    BoundingBox, left=near, top=near, width=sizes, height=sizes, rotation=st.none() | st.floats(-360, 360)
)


def _spanned(corners: tuple[tuple[float, float], tuple[float, float]]) -> BoundingBox:
    (left, right), (top, bottom) = (sorted(pair) for pair in zip(*corners, strict=True))
    return BoundingBox(left=left, top=top, width=right - left, height=bottom - top)


far_boxes = (
    st.tuples(far_positions, far_positions)
    .filter(lambda corners: all(a != b for a, b in zip(*corners, strict=True)))
    .map(_spanned)
)


def rings(position: st.SearchStrategy[tuple[float, float]]) -> st.SearchStrategy[tuple[tuple[float, float], ...]]:
    return st.lists(position, min_size=3, max_size=6).map(tuple)


def polygons(position: st.SearchStrategy[tuple[float, float]] = positions) -> st.SearchStrategy[Polygon]:
    part = st.builds(PolygonPart, exterior=rings(position), holes=st.lists(rings(position), max_size=1).map(tuple))
    return st.lists(part, min_size=1, max_size=2).map(lambda parts: Polygon(parts=tuple(parts)))


annotations: st.SearchStrategy[AnnotationValue] = st.one_of(
    boxes,
    far_boxes,
    polygons(),
    polygons(far_positions),
    st.lists(positions, min_size=2, max_size=4).map(lambda points: Polyline(points=tuple(points))),
    st.builds(Point, x=near, y=near),
    st.lists(st.builds(Keypoint, name=st.just("nose"), x=near, y=near), min_size=1, max_size=2).map(
        lambda points: Keypoints(points=tuple(points))
    ),
    bitmaps().map(mask_of),
    st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda at: TextEntity(start=at[0], end=at[0] + at[1])),
    st.just(Classification()),
    st.builds(Radio, option_id=ids),
    ids.map(lambda option: Checklist(options=(CheckedOption(option_id=option),))),
    st.builds(FreeText, text=st.text(max_size=5)),
)
