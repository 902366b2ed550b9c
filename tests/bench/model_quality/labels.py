"""The classifier of pictures: is the stamp, large in the picture, named rightly?"""

from collections.abc import Mapping

from PIL import Image

from shared.model_card import ModelCard
from tests.bench.model_quality.scenes import STAMPS, as_png
from tests.bench.model_quality.served import Bench, Figure
from tests.bench.model_quality.sources import stamps

# Right names by ImageNet, for the stamps that have one; by the end of the file's name.
NAMES: Mapping[str, tuple[str, ...]] = {
    "747": ("airliner",),
    "f22_raptor": ("warplane",),
    "apple_granny_smith": ("Granny Smith",),
    "banana": ("banana",),
    "bears/bear": ("American black bear", "brown bear"),
    "european-bear": ("brown bear",),
    "duck": ("drake",),
    "gander": ("goose",),
    "hen": ("hen",),
    "magpie": ("magpie",),
    "ostrich": ("ostrich",),
    "pink_flamingo": ("flamingo",),
    "rooster": ("cock",),
    "broccoli": ("broccoli",),
    "green_korean_bus": ("minibus", "trolleybus", "school bus", "passenger car"),
    "sportscar2": ("sports car", "convertible"),
    "bull": ("ox", "water buffalo", "bison"),
    "bovines/cow": ("ox",),
    "mug": ("coffee mug", "cup"),
    "dogs/dog": ("malamute", "Siberian husky", "Eskimo dog"),
    "dingo": ("dingo",),
    "elephant": ("African elephant", "tusker", "Indian elephant"),
    "horse": ("sorrel",),
    "fruit/orange": ("orange",),
    "mandarine": ("orange",),
    "bovines/ram": ("ram", "bighorn"),
    "basketball": ("basketball",),
    "soccer": ("soccer ball",),
    "tennis_ball": ("tennis ball",),
    "edward_bear": ("teddy",),
    "tennis_racket": ("racket",),
    "toilet": ("toilet seat",),
    "stoplight_01_red": ("traffic light",),
    "stoplight_03_green": ("traffic light",),
    "stop": ("street sign",),
    "auto/truck": ("pickup", "tow truck"),
    "firetruck": ("fire engine",),
    "garbagetruck": ("garbage truck",),
    "zebra": ("zebra",),
}


async def measure(bench: Bench) -> Figure:
    slug = "classify-efficientnet"
    files = [file for some in STAMPS.values() for file in some if _names(file, bench.model(slug).card)]
    found = await bench.find(slug, [_alone(file) for file in files])
    first = sum(
        row[0].model_class in _names(file, bench.model(slug).card) for file, row in zip(files, found, strict=True)
    )
    among = sum(
        any(one.model_class in _names(file, bench.model(slug).card) for one in row)
        for file, row in zip(files, found, strict=True)
    )
    count = len(files)
    return Figure(
        slug,
        f"right name first {first / count:.1%}, among the five surest {among / count:.1%}",
        f"{count} photographed things (Tux Paint stamps) alone on a white square; names that ImageNet has for them",
        {"first": first / count, "among_five": among / count, "pictures": count},
    )


def _names(file: str, card: ModelCard) -> tuple[str, ...]:
    names = next((right for end, right in NAMES.items() if file.endswith(end)), ())
    return tuple(name for name in names if name in card.classes)


def _alone(file: str) -> bytes:
    with Image.open(stamps() / f"{file}.png") as opened:
        stamp = opened.convert("RGBA")
    stamp = stamp.crop(stamp.getchannel("A").getbbox())
    side = round(max(stamp.size) * 1.25)
    picture = Image.new("RGB", (side, side), "white")
    picture.paste(stamp, ((side - stamp.width) // 2, (side - stamp.height) // 2), stamp)
    return as_png(picture)
