"""Scenes of one thing whose place is known: a stamp somewhere on a photographed ground."""

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.bench.model_quality.sources import stamps, wheels

# What the stamp shows by COCO's names, and its file; drawings and what COCO has no class for are left out.
STAMPS: dict[str, tuple[str, ...]] = {
    "airplane": ("vehicles/flight/planes/747", "military/vehicles/f22_raptor"),
    "apple": ("food/fruit/apple_fuji", "food/fruit/apple_granny_smith", "food/fruit/apple_red"),
    "banana": ("food/fruit/banana",),
    "bear": ("animals/mammals/bears/bear", "animals/mammals/bears/european-bear"),
    "bird": (
        "animals/birds/blackbird",
        "animals/birds/crow",
        "animals/birds/duck",
        "animals/birds/gander",
        "animals/birds/hen",
        "animals/birds/heron_greatblue",
        "animals/birds/magpie",
        "animals/birds/ostrich",
        "animals/birds/owl",
        "animals/birds/pigeon",
        "animals/birds/pink_flamingo",
        "animals/birds/rooster",
        "animals/birds/seagull",
    ),
    "broccoli": ("food/vegetables/broccoli",),
    "bus": ("vehicles/masstransit/green_korean_bus",),
    "car": ("vehicles/auto/beetle", "vehicles/auto/sedan", "vehicles/auto/sportscar2"),
    "carrot": ("food/vegetables/carrot",),
    "cow": ("animals/mammals/bovines/bull", "animals/mammals/bovines/cow", "animals/mammals/bovines/cow_white"),
    "cup": ("household/dishes/mug",),
    "dog": ("animals/mammals/dogs/dog", "animals/mammals/dogs/dingo"),
    "elephant": ("animals/mammals/elephant",),
    "giraffe": ("animals/mammals/giraffe",),
    "horse": ("animals/mammals/equines/horse",),
    "orange": ("food/fruit/orange", "food/fruit/mandarine"),
    "person": ("people/fireman200b", "people/fireman240a"),
    "scissors": ("household/arttools/scissors_small_open",),
    "sheep": (
        "animals/mammals/bovines/ram",
        "animals/mammals/bovines/sheep",
        "animals/mammals/bovines/sheep_lamb",
    ),
    "sports ball": ("sports/basketball", "sports/soccer", "sports/tennis_ball"),
    "stop sign": ("town/roadsigns/stop",),
    "teddy bear": ("animals/mammals/bears/toys/edward_bear",),
    "tennis racket": ("sports/tennis_racket",),
    "toilet": ("household/toilet",),
    "traffic light": ("town/roadsigns/stoplight_01_red", "town/roadsigns/stoplight_03_green"),
    "truck": ("vehicles/auto/truck", "vehicles/emergency/firetruck", "vehicles/garbagetruck"),
    "zebra": ("animals/mammals/equines/zebra",),
}
_GROUNDS = ("brick.png", "grass.png", "gravel.png")
_SIZE = 640, 480
_LONGER_SIDE = 130, 320
Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Scene:
    stamp: str
    shows: str
    corners: Corners
    content: bytes


def scenes(places: int) -> Iterator[Scene]:
    """Each stamp in so many places, always the same ones."""
    chance = random.Random(2024)
    grounds = [_ground(wheels() / "skimage" / "data" / name) for name in _GROUNDS]
    for shows, files in STAMPS.items():
        for file in files:
            for place in range(places):
                yield _scene(file, shows, grounds[place % len(grounds)], chance)


def _scene(file: str, shows: str, ground: Image.Image, chance: random.Random) -> Scene:
    with Image.open(stamps() / f"{file}.png") as opened:
        stamp = opened.convert("RGBA")
    stamp = stamp.crop(stamp.getchannel("A").getbbox())
    ratio = chance.uniform(*_LONGER_SIDE) / max(stamp.size)
    stamp = stamp.resize((max(1, round(stamp.width * ratio)), max(1, round(stamp.height * ratio))))
    left, top = (chance.randint(0, whole - part) for whole, part in zip(_SIZE, stamp.size, strict=True))
    picture = ground.copy()
    picture.paste(stamp, (left, top), stamp)
    corners = (left, top, left + stamp.width, top + stamp.height)
    return Scene(file, shows, corners, as_png(picture))


def _ground(file: Path) -> Image.Image:
    with Image.open(file) as opened:
        return opened.convert("RGB").resize(_SIZE)


def as_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
