"""The reader of text: pages written with known words in free fonts, and a photographed page."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidfuzz.distance import Levenshtein

from services.inference.decoders.base import Found
from shared.annotations import BoundingBox
from tests.bench.model_quality.scenes import as_png
from tests.bench.model_quality.served import Bench, Figure
from tests.bench.model_quality.sources import wheels
from tests.support.servers import PICTURES

_TEXT = """
Invoice Number Date Total Amount Street Berlin Munich delivery note address payment within fourteen days please return
the signed form to our office before noon Monday quantity price discount account reference Thank you for your order
2024 117 38.50 EUR 19% A4 B-12 +49 30 1234567 No. 5 (copy) page 1/3 e-mail: info@example.org
"""
_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono", "STIXGeneral")
_HEIGHTS = (14, 20, 28, 40)  # of the font, on pages of 960 x 720 that the model sees as they are
_PAGE = 960, 720
_PHOTOGRAPHED = (
    "Region-based segmentation",
    "Let us first determine markers of the coins and the",
    "background. These markers are pixels that we can label",
    "unambiguously as either object or background. Here,",
    "the markers are found at the two extreme parts of the",
    "histogram of grey values:",
    ">>> markers = np.zeros_like(coins)",
)


@dataclass(frozen=True)
class Line:
    text: str
    top: float
    bottom: float


async def measure(bench: Bench) -> Figure:
    slug = "read-text"
    threshold = bench.model(slug).card.default_threshold
    pages = list(_pages())
    found = await bench.find(slug, [content for content, _ in pages], threshold)
    lines = [pair for (_, known), row in zip(pages, found, strict=True) for pair in _paired(known, row)]
    (photographed,) = await bench.find(slug, [(wheels() / "skimage" / "data" / "page.png").read_bytes()], threshold)
    read = sorted(photographed, key=_middle)
    of_page = _right_letters(_PHOTOGRAPHED, [_text(one) for one in read]) if len(read) == len(_PHOTOGRAPHED) else 0.0
    nothing = await bench.find(
        slug, [(PICTURES / name).read_bytes() for name in ("chelsea.png", "china.jpg")], threshold
    )
    numbers = {
        "lines": len(lines),
        "found": float(np.mean([bool(text) for _, text in lines])),
        "letters": _right_letters([known for known, _ in lines], [text for _, text in lines]),
        "words": _right_words(lines),
        "letters_of_the_photographed_page": of_page,
        "texts_where_there_are_none": float(sum(map(len, nothing))),
    }
    return Figure(
        slug,
        f"{numbers['letters']:.1%} of letters and {numbers['words']:.1%} of words right on written pages, "
        f"{of_page:.1%} of letters on a photographed one",
        f"{len(lines)} lines in {len(_FONTS)} fonts (DejaVu, STIX) of {', '.join(map(str, _HEIGHTS))} pixels on pages "
        f"of 960 x 720, letters without spaces; the seven lines of scikit-image's page.png; threshold {threshold}",
        numbers,
    )


def _pages() -> Iterator[tuple[bytes, list[Line]]]:
    chance = random.Random(7)
    fonts = wheels() / "matplotlib" / "mpl-data" / "fonts" / "ttf"
    for name in _FONTS:
        for height in _HEIGHTS:
            font = ImageFont.truetype(str(fonts / f"{name}.ttf"), height)
            page = Image.new("RGB", _PAGE, "white")
            draw, known = ImageDraw.Draw(page), []
            for top in range(20, _PAGE[1] - 2 * height, height * 2):
                text = _words_of(chance, font)
                draw.text((30, top), text, "black", font)
                known.append(Line(text, top, top + height * 1.3))
            yield as_png(page), known


def _words_of(chance: random.Random, font: ImageFont.FreeTypeFont) -> str:
    """As many words as fit in a line, at most eight."""
    words: list[str] = []
    for word in chance.sample(_TEXT.split(), 8):
        if font.getlength(" ".join([*words, word])) > _PAGE[0] - 60:
            break
        words.append(word)
    return " ".join(words)


def _paired(known: Sequence[Line], found: Sequence[Found]) -> list[tuple[str, str]]:
    """Each line with what was read within its height, from left to right."""
    by_left = sorted(found, key=lambda one: _box(one).left)
    return [
        (line.text, " ".join(_text(one) for one in by_left if line.top <= _middle(one) <= line.bottom))
        for line in known
    ]


def _right_letters(known: Sequence[str], read: Sequence[str]) -> float:
    pairs = [(one.replace(" ", ""), other.replace(" ", "")) for one, other in zip(known, read, strict=True)]
    wrong = sum(Levenshtein.distance(one, other) for one, other in pairs)
    return 1 - wrong / sum(len(one) for one, _ in pairs)


def _right_words(lines: Sequence[tuple[str, str]]) -> float:
    """Of the words, those that were read whole and apart from their neighbours."""
    right = sum(word in read.split() for known, read in lines for word in known.split())
    return right / sum(len(known.split()) for known, _ in lines)


def _box(found: Found) -> BoundingBox:
    assert isinstance(found.annotation, BoundingBox)
    return found.annotation


def _middle(found: Found) -> float:
    return _box(found).top + _box(found).height / 2


def _text(found: Found) -> str:
    return str(found.attributes["text"])
