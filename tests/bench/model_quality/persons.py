"""The mask of persons: two portraits with outlines drawn by hand, and pictures in which nobody is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from pycocotools import mask as coco

from services.inference.decoders.base import Found
from shared.annotations import Mask
from tests.bench.model_quality.scenes import as_png, scenes
from tests.bench.model_quality.served import Bench, Figure
from tests.support.servers import PICTURES

# Drawn by hand, to about four pixels; what the astronaut holds is not counted.
_LABELED = Path(__file__).parents[1] / "labeled" / "persons.json"
Pixels = NDArray[np.bool_]


async def measure(bench: Bench) -> Figure:
    slug = "segment-person"
    threshold = bench.model(slug).card.default_threshold
    labeled = json.loads(_LABELED.read_bytes())
    overlaps = [overlap for name in labeled for overlap in await _overlaps(bench, slug, name, labeled[name])]
    nobody = [scene.content for scene in scenes(1) if scene.shows != "person"]
    taken = float(np.mean([bool(row) for row in await bench.find(slug, nobody, threshold)]))
    return Figure(
        slug,
        f"IoU {np.mean(overlaps):.3f} on portraits; a mask in {taken:.0%} of pictures without a person",
        f"the astronaut and Grace Hopper, as they are and mirrored, against outlines drawn by hand; {len(nobody)} "
        f"pictures of 640 x 480 with a photographed thing (Tux Paint stamps) on brick; threshold {threshold}",
        {"iou": float(np.mean(overlaps)), "lowest_iou": min(overlaps), "taken": taken},
    )


async def _overlaps(bench: Bench, slug: str, name: str, labeled: dict[str, Any]) -> list[float]:
    with Image.open(PICTURES / name) as opened:
        picture = opened.convert("RGB")
    truth, counted = Image.new("L", picture.size), Image.new("L", picture.size, 1)
    ImageDraw.Draw(truth).polygon([tuple(corner) for corner in labeled["outline"]], fill=1)
    if "not_counted" in labeled:
        ImageDraw.Draw(counted).rectangle(labeled["not_counted"], fill=0)
    mirrored = [ImageOps.mirror(one) for one in (picture, truth, counted)]
    found = await bench.find(slug, [as_png(picture), as_png(mirrored[0])])
    pairs = zip(found, ((truth, counted), (mirrored[1], mirrored[2])), strict=True)
    return [_overlap(row, np.array(known, bool), np.array(where, bool)) for row, (known, where) in pairs]


def _overlap(found: list[Found], truth: Pixels, counted: Pixels) -> float:
    mask = np.zeros_like(truth)
    for one in found:
        assert isinstance(one.annotation, Mask)
        rle = {"size": list(one.annotation.size), "counts": one.annotation.counts.encode()}
        mask |= coco.decode(rle).astype(bool)
    return float((mask & truth & counted).sum() / ((mask | truth) & counted).sum())
