"""Detectors of things: is the stamp found, where it is and by its name?"""

from services.inference.decoders.base import Found
from shared.annotations import BoundingBox
from tests.bench.model_quality.scenes import Corners, Scene, scenes
from tests.bench.model_quality.served import Bench, Figure

_PLACES = 3
_OVERLAP = 0.5


async def measure(bench: Bench, slug: str) -> Figure:
    threshold = bench.model(slug).card.default_threshold
    every = list(scenes(_PLACES))
    found = await bench.find(slug, [scene.content for scene in every], threshold)
    right = located = stray = 0
    for scene, boxes in zip(every, found, strict=True):
        there = [box for box in boxes if _overlap(box, scene.corners) >= _OVERLAP]
        located += bool(there)
        right += any(box.model_class == scene.shows for box in there)
        stray += sum(_is_stray(box, scene) for box in boxes)
    count = len(every)
    numbers = {"right": right / count, "located": located / count, "stray": stray / count, "scenes": count}
    return Figure(
        slug,
        f"{right / count:.1%} found with the right class, {located / count:.1%} located, "
        f"{stray / count:.2f} stray boxes a picture",
        f"{count} pictures of 640 x 480 with one of {count // _PLACES} photographed things (Tux Paint stamps) on "
        f"brick, grass or gravel; found: IoU of at least {_OVERLAP}; threshold {threshold}",
        numbers,
    )


def _is_stray(box: Found, scene: Scene) -> bool:
    return _overlap(box, scene.corners) < _OVERLAP


def _overlap(found: Found, corners: Corners) -> float:
    box = found.annotation
    assert isinstance(box, BoundingBox)
    left, top, right, bottom = corners
    width = min(right, box.left + box.width) - max(left, box.left)
    height = min(bottom, box.top + box.height) - max(top, box.top)
    both = max(0.0, width) * max(0.0, height)
    return both / (box.area() + (right - left) * (bottom - top) - both)
