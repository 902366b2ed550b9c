"""Annotation kinds: what they refuse, how large they are, what is left in the canvas, what they become."""

import math
import time
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco
from pydantic import ValidationError

from shared.annotations import (
    ANNOTATION,
    BoundingBox,
    Canvas,
    Classification,
    FeatureType,
    FreeText,
    Keypoint,
    Keypoints,
    Mask,
    Point,
    Polygon,
    PolygonPart,
    Polyline,
    TextEntity,
)
from shared.annotations.base import FARTHEST
from tests.unit.shared.strategies import bitmaps, boxes, encoded, far_boxes, far_positions, mask_of, polygons

CANVAS = Canvas(width=50, height=40)
SQUARE = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))


def polygon(*parts: Any) -> Polygon:
    return Polygon(parts=tuple(PolygonPart(exterior=exterior) for exterior in parts))


# --- boxes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"height": -1},
        {"left": math.nan},
        {"top": math.inf},
        {"rotation": math.nan},
        {"left": FARTHEST, "width": 10},
        {"left": -FARTHEST, "width": 10, "rotation": 90.0, "height": 100},
        {"labels": []},
    ],
)
def test_broken_boxes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BoundingBox.model_validate({"left": 1, "top": 2, "width": 3, "height": 4, **wrong})


def test_box_is_cut_at_the_edges() -> None:
    box = BoundingBox(left=-5, top=30, width=20, height=20)
    assert box.area() == 400
    assert box.clip(CANVAS) == BoundingBox(left=0, top=30, width=15, height=10)
    assert BoundingBox(left=50, top=0, width=5, height=5).clip(CANVAS) is None


def test_rotated_box_stays_whole_or_goes() -> None:
    box = BoundingBox(left=45, top=10, width=20, height=5, rotation=30)
    assert box.clip(CANVAS) is box
    assert BoundingBox(left=145, top=10, width=20, height=5, rotation=30).clip(CANVAS) is None


def test_corners_turn_clockwise_on_screen() -> None:
    corners = BoundingBox(left=0, top=0, width=4, height=2, rotation=90).corners()
    # The top left corner of the wide box is the top right one of the tall box.
    assert corners[0] == pytest.approx((3, -1))
    assert corners[1] == pytest.approx((3, 3))


@given(boxes)
def test_box_as_polygon_has_its_area(box: BoundingBox) -> None:
    as_polygon = box.convert(FeatureType.POLYGON)
    assert as_polygon is not None
    assert as_polygon.area() == pytest.approx(box.area(), rel=1e-3)


@given(far_boxes | boxes)
def test_every_box_becomes_a_polygon(box: BoundingBox) -> None:
    assert ANNOTATION.validate_json(box.convert(FeatureType.POLYGON).model_dump_json())  # type: ignore[union-attr]


# --- polygons -------------------------------------------------------------------------------------------------------


def test_hole_and_overlap_count_once() -> None:
    ring = Polygon(parts=(PolygonPart(exterior=SQUARE, holes=(((2, 2), (4, 2), (4, 4), (2, 4)),)),))
    assert ring.area() == 96
    beside = tuple((x + 5, y) for x, y in SQUARE)
    assert polygon(SQUARE, beside).area() == 150


def test_polygon_is_cut_into_the_parts_that_are_left() -> None:
    teeth = polygon(((-10, -5), (60, -5), (60, 5), (25, 5), (25, -3), (20, -3), (20, 5), (-10, 5)))
    inside = teeth.clip(CANVAS)
    assert inside is not None
    assert len(inside.parts) == 2, "the gap between the teeth lies under the upper edge"
    assert inside.area() == 45 * 5
    assert polygon(tuple((x + 100, y) for x, y in SQUARE)).clip(CANVAS) is None


def test_exterior_runs_clockwise_on_screen() -> None:
    inside = polygon(SQUARE[::-1]).clip(CANVAS)
    assert inside is not None
    ring = inside.parts[0].exterior
    # y points down, so a positive shoelace sum is clockwise to the eye.
    assert sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, (*ring[1:], ring[0]), strict=True)) > 0
    assert ring[0] != ring[-1], "rings are not closed"


@given(polygons())
def test_what_is_cut_is_inside_and_not_larger(shape: Polygon) -> None:
    inside = shape.clip(CANVAS)
    if inside is None:
        return
    assert inside.area() <= shape.area() + 1e-6
    for part in inside.parts:
        assert all(-1e-9 <= x <= 50 + 1e-9 and -1e-9 <= y <= 40 + 1e-9 for x, y in part.exterior)


_TINY = 2.894053093179869e-221


@given(polygons() | polygons(far_positions))
@example(
    Polygon(
        parts=(
            PolygonPart(exterior=((0, 0), (_TINY, 3), (0, 2), (1, 0)), holes=(((0, 0), (_TINY, 4), (0, 1), (1, 0)),)),
        )
    )
)
def test_bounds_of_any_polygon_are_a_box_around_it(shape: Polygon) -> None:
    box = shape.convert(FeatureType.BOUNDING_BOX)
    if box is None:
        assert shape.area() == 0
    else:
        assert box.area() >= shape.area() * (1 - 1e-9)  # type: ignore[operator]


@pytest.mark.parametrize("ring", [[[0, 0], [1, 1]], [], [[0, 0], [1, math.nan], [2, 2]], [[0, 0], [1, 1], [2]]])
def test_broken_rings_are_refused(ring: list[Any]) -> None:
    with pytest.raises(ValidationError):
        Polygon.model_validate({"parts": [{"exterior": ring}]})


# --- masks ----------------------------------------------------------------------------------------------------------


@given(bitmaps())
def test_mask_says_what_its_pixels_say(bitmap: NDArray[np.uint8]) -> None:
    mask = mask_of(bitmap)
    assert mask.area() == bitmap.sum()
    box = mask.convert(FeatureType.BOUNDING_BOX)
    expected = coco.toBbox(coco.encode(np.asfortranarray(bitmap)))
    if not bitmap.any():
        assert box is None
    else:
        assert isinstance(box, BoundingBox)
        assert (box.left, box.top, box.width, box.height) == tuple(expected)


@given(st.integers(1, 5), st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_empty_runs_change_nothing(height: int, runs: list[int]) -> None:
    total = sum(runs)
    width = -(-total // height) or 1
    runs = [*runs, height * width - total]
    mask = Mask(size=(height, width), counts=encoded(runs))
    bitmap = np.repeat(np.arange(len(runs)) % 2, runs).reshape((height, width), order="F")
    assert mask.area() == bitmap.sum()
    box = mask.convert(FeatureType.BOUNDING_BOX)
    assert (box is None) == (not bitmap.any())
    if isinstance(box, BoundingBox):
        rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
        assert (box.left, box.top) == (columns[0], rows[0])
        assert (box.left + box.width - 1, box.top + box.height - 1) == (columns[-1], rows[-1])


COUNTS = st.text(st.sampled_from([chr(code) for code in range(48, 112)]), min_size=1, max_size=40)
NEARLY = st.lists(st.integers(-2, 12), min_size=1, max_size=6).map(encoded)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with numpy 2
@given(st.tuples(st.integers(1, 6), st.integers(1, 6)), COUNTS | NEARLY)
def test_broken_runs_never_reach_the_c_code(size: tuple[int, int], counts: str) -> None:
    try:
        mask = Mask(size=size, counts=counts)
    except ValidationError:
        return
    bitmap = coco.decode({"size": list(size), "counts": counts.encode()})
    assert bitmap.shape == size
    assert mask.area() == bitmap.sum()


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        ((2, 2), "3"),
        ((2, 2), "5"),
        ((2, 2), "T"),
        ((2, 2), "4 "),
        ((2, 2), "4\x7f"),
        ((2, 2), ""),
        ((0, 4), "0"),
        ((-2, -2), "4"),
        ((70_000, 1), encoded([70_000])),
        ((60_000, 60_000), encoded([3_600_000_000])),
        ((2, 2), encoded([-1, 5])),
        ((2, 2), "T" + "P" * 20 + "0"),
    ],
)
def test_masks_that_do_not_add_up_are_refused(size: tuple[int, int], counts: str) -> None:
    with pytest.raises(ValidationError):
        Mask(size=size, counts=counts)


def test_a_run_without_end_is_refused_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(ValidationError, match="too long"):
        Mask(size=(2, 2), counts="o" * 5_000_000)
    assert time.monotonic() - began < 1


@given(bitmaps())
def test_a_small_mask_as_polygon_has_exactly_its_pixels(bitmap: NDArray[np.uint8]) -> None:
    polygon = mask_of(bitmap).convert(FeatureType.POLYGON)
    if not bitmap.any():
        assert polygon is None
        return
    assert isinstance(polygon, Polygon)
    assert ANNOTATION.validate_json(polygon.model_dump_json()) == polygon
    assert polygon.area() == bitmap.sum()
    assert np.array_equal(pixels_of(polygon, bitmap.shape), bitmap)
    parts, _ = cv2.connectedComponents(bitmap, connectivity=4)
    assert len(polygon.parts) == parts - 1, "pixels that touch along an edge are one part"
    for part in polygon.parts:
        assert shapely.Polygon(part.exterior, part.holes).is_valid
        assert shapely.LinearRing(part.exterior).is_ccw, "with y downwards that is clockwise on screen"


@given(st.integers(1, 5), st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_empty_runs_change_no_outline(height: int, runs: list[int]) -> None:
    total = sum(runs)
    width = -(-total // height) or 1
    runs = [*runs, height * width - total]
    bitmap = np.repeat(np.arange(len(runs)) % 2, runs).reshape((height, width), order="F").astype(np.uint8)
    polygon = Mask(size=(height, width), counts=encoded(runs)).convert(FeatureType.POLYGON)
    assert polygon == mask_of(bitmap).convert(FeatureType.POLYGON)


def test_holes_and_islands_stay() -> None:
    bitmap = np.zeros((9, 9), np.uint8)
    bitmap[1:8, 1:8], bitmap[2:7, 2:7], bitmap[4, 4] = 1, 0, 1
    polygon = mask_of(bitmap).convert(FeatureType.POLYGON)
    assert isinstance(polygon, Polygon)
    ring, island = polygon.parts
    assert set(ring.exterior) == {(1, 1), (8, 1), (8, 8), (1, 8)}
    assert [set(hole) for hole in ring.holes] == [{(2, 2), (7, 2), (7, 7), (2, 7)}]
    assert set(island.exterior) == {(4, 4), (5, 4), (5, 5), (4, 5)}
    assert island.holes == ()


def test_a_large_mask_loses_corners_and_specks_but_hardly_area() -> None:
    rows, columns = np.mgrid[:600, :800]
    disc = (columns - 400) ** 2 / 300**2 + (rows - 300) ** 2 / 250**2 < 1
    hole = (columns - 350) ** 2 + (rows - 300) ** 2 < 80**2
    clean = (disc & ~hole).astype(np.uint8)
    bitmap = clean.copy()
    bitmap[10, 10], bitmap[300, 600] = 1, 0  # a speck outside, and one inside
    polygon = mask_of(bitmap).convert(FeatureType.POLYGON)
    assert isinstance(polygon, Polygon)
    (part,) = polygon.parts
    assert len(part.holes) == 1
    assert len(part.exterior) + len(part.holes[0]) < 300
    assert polygon.area() == pytest.approx(clean.sum(), rel=0.002)
    assert (pixels_of(polygon, bitmap.shape) != clean).mean() < 0.002


def test_the_largest_part_stays_however_small() -> None:
    noise = np.zeros((200, 200), np.uint8)
    noise[::2, ::2] = 1
    polygon = mask_of(noise).convert(FeatureType.POLYGON)
    assert isinstance(polygon, Polygon)
    assert (len(polygon.parts), polygon.area()) == (1, 1)


def test_noise_without_end_has_no_outline() -> None:
    noise = np.zeros((600, 600), np.uint8)
    noise[::2, ::2] = 1
    assert mask_of(noise).convert(FeatureType.POLYGON) is None


def pixels_of(polygon: Polygon, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The pixels whose middle lies within."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside: NDArray[np.uint8] = shapely.contains_xy(polygon.geometry(), columns + 0.5, rows + 0.5).astype(np.uint8)
    return inside


# --- the others -----------------------------------------------------------------------------------------------------


def test_points_and_texts_are_cut() -> None:
    assert Point(x=50, y=40).clip(CANVAS) is not None
    assert Point(x=50.1, y=0).clip(CANVAS) is None
    text = Canvas(length=10)
    assert TextEntity(start=8, end=20).clip(text) == TextEntity(start=8, end=10)
    assert TextEntity(start=10, end=20).clip(text) is None


@pytest.mark.parametrize(("start", "end"), [(3, 3), (4, 3), (-1, 3)])
def test_a_stretch_of_no_text_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValidationError):
        TextEntity(start=start, end=end)


def test_keypoints_become_their_middle_and_their_bounds() -> None:
    one, other = Keypoint(name="nose", x=1, y=2), Keypoint(name="tail", x=5, y=10, visibility=1)
    nowhere = Keypoint(name="ear", x=0, y=0, visibility=0)
    assert Keypoints(points=(one, nowhere)).convert(FeatureType.POINT) == Point(x=1, y=2)
    assert Keypoints(points=(one, nowhere)).convert(FeatureType.BOUNDING_BOX) is None, "a point has no extent"
    both = Keypoints(points=(one, other, nowhere))
    assert both.convert(FeatureType.POINT) == Point(x=3, y=6)
    assert both.convert(FeatureType.BOUNDING_BOX) == BoundingBox(left=1, top=2, width=4, height=8)
    assert Keypoints(points=(nowhere,)).convert(FeatureType.POINT) is None


def test_what_has_an_area_becomes_the_centre_of_it() -> None:
    box = BoundingBox(left=2, top=4, width=6, height=2, rotation=30)
    assert box.convert(FeatureType.POINT) == Point(x=5, y=5)
    square = ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0))
    hole = ((2.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 4.0))
    assert Polygon(parts=(PolygonPart(exterior=square, holes=(hole,)),)).convert(FeatureType.POINT) == Point(x=1, y=2)
    pixels = np.zeros((4, 6), np.uint8)
    pixels[1:3, 2:6] = 1
    assert mask_of(pixels).convert(FeatureType.POINT) == Point(x=4, y=2)
    assert mask_of(np.zeros((4, 6), np.uint8)).convert(FeatureType.POINT) is None


@given(bitmaps())
def test_the_centre_of_a_mask_is_that_of_its_pixels(bitmap: NDArray[np.uint8]) -> None:
    centre = mask_of(bitmap).convert(FeatureType.POINT)
    rows, columns = np.nonzero(bitmap)
    if not len(rows):
        assert centre is None
    else:
        assert isinstance(centre, Point)
        assert (centre.x, centre.y) == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5))


@pytest.mark.parametrize("target", list(FeatureType))
def test_lines_stay_lines_and_classes_need_an_option(target: FeatureType) -> None:
    line = Polyline(points=((0, 0), (1, 1)))
    assert line.convert(target) == (line if target is FeatureType.POLYLINE else None)
    assert Classification().convert(target) is None
    assert line.area() is None


@given(bitmaps(), bitmaps())
def test_likeness_of_masks_is_that_of_their_pixels(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> None:
    union = int((one | other).sum()) if one.shape == other.shape else 0
    expected = int((one & other).sum()) / union if union else 0.0
    assert mask_of(one).likeness(mask_of(other)) == pytest.approx(expected)


def test_likeness_of_boxes_spans_and_answers() -> None:
    box = BoundingBox(left=0, top=0, width=10, height=10)
    assert box.likeness(BoundingBox(left=5, top=0, width=10, height=10)) == pytest.approx(1 / 3)
    assert box.likeness(BoundingBox(left=10, top=0, width=10, height=10)) == 0
    speck = BoundingBox(left=0, top=0, width=1e-300, height=1e-300)
    assert speck.likeness(speck) == 0
    assert box.likeness(box.model_copy(update={"rotation": 90.0})) == pytest.approx(1)
    assert box.likeness(box.model_copy(update={"rotation": 45.0})) == pytest.approx(0.7071, abs=1e-3)
    square = box.convert(FeatureType.POLYGON)
    assert isinstance(square, Polygon)
    assert square.likeness(square) == 1
    assert TextEntity(start=0, end=4).likeness(TextEntity(start=2, end=8)) == 0.25
    assert TextEntity(start=0, end=4).likeness(TextEntity(start=4, end=8)) == 0
    assert (FreeText(text="a").likeness(FreeText(text="a")), FreeText(text="a").likeness(FreeText(text="b"))) == (1, 0)
