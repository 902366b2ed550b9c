"""The model of offensive texts, on texts labeled by hand."""

from tests.bench.model_quality.labeled import LABELED, lines
from tests.bench.model_quality.served import Bench, Figure


async def measure(bench: Bench) -> Figure:
    slug = "text-offensive"
    threshold = bench.model(slug).card.default_threshold
    texts = [(line[2:], line[0] == "+") for line in lines(LABELED / "offensive.txt")]
    found = await bench.find(slug, [text.encode() for text, _ in texts], threshold)
    said = [any(one.model_class == "offensive" for one in row) for row in found]
    right = sum(is_said and truly for is_said, (_, truly) in zip(said, texts, strict=True))
    offensive = sum(truly for _, truly in texts)
    numbers = {"precision": right / sum(said), "recall": right / offensive, "texts": len(texts)}
    return Figure(
        slug,
        f"precision {numbers['precision']:.1%}, recall {numbers['recall']:.1%} of offensive texts",
        f"{len(texts)} short texts written and labeled by hand (tests/bench/labeled/offensive.txt), {offensive} of "
        f"them offensive, some of either kind meant to be hard; threshold {threshold}",
        numbers,
    )
