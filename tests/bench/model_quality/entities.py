"""Named entities, on sentences labeled by hand: exactly the same span and class, or a span that touches, same class."""

from collections.abc import Sequence

from services.inference.decoders.base import Found
from shared.annotations import TextEntity
from tests.bench.model_quality.labeled import LABELED, Entity, lines, unmarked
from tests.bench.model_quality.served import Bench, Figure

_SURE = 0.9


async def measure(bench: Bench) -> Figure:
    slug = "entities-spacy"
    threshold = bench.model(slug).card.default_threshold
    sentences = [unmarked(line) for line in lines(LABELED / "entities.txt")]
    rows = await bench.find(slug, [text.encode() for text, _ in sentences])
    found = [{_entity(one) for one in row if one.confidence >= threshold} for row in rows]
    known = [entities for _, entities in sentences]
    exact = sum(len(some & others) for some, others in zip(found, known, strict=True))
    touching = sum(_touching(some, others) for some, others in zip(found, known, strict=True))
    said, true = sum(map(len, found)), sum(map(len, known))
    sure, unsure = _right_of(rows, known, _SURE, 1.0), _right_of(rows, known, 0.0, _SURE)
    numbers = {
        "right_of_sure": sure,
        "right_of_others": unsure,
        "precision": exact / said,
        "recall": exact / true,
        "f1": 2 * exact / (said + true),
        "f1_touching": 2 * touching / (said + true),
        "sentences": len(sentences),
        "entities": true,
    }
    return Figure(
        slug,
        f"F1 {numbers['f1']:.3f} for span and class (precision {numbers['precision']:.3f}, recall "
        f"{numbers['recall']:.3f}), {numbers['f1_touching']:.3f} where a span only has to overlap; right are "
        f"{sure:.0%} of those with a confidence of {_SURE} or more and {unsure:.0%} of the others",
        f"{true} entities in {len(sentences)} sentences written and labeled by hand "
        f"(tests/bench/labeled/entities.txt); threshold {threshold}",
        numbers,
    )


def _right_of(rows: Sequence[Sequence[Found]], known: Sequence[set[Entity]], lowest: float, below: float) -> float:
    """The share of right ones among those of such a confidence; 1 is the highest there is."""
    some = [
        _entity(one) in entities
        for row, entities in zip(rows, known, strict=True)
        for one in row
        if lowest <= one.confidence < below or one.confidence == below == 1
    ]
    return sum(some) / len(some)


def _entity(one: Found) -> Entity:
    assert isinstance(one.annotation, TextEntity)
    return one.annotation.start, one.annotation.end, one.model_class


def _touching(found: set[Entity], known: set[Entity]) -> int:
    """Pairs of one class that overlap, each entity in one pair at most."""
    left: list[Entity] = sorted(known)
    return sum(_take(entity, left) for entity in sorted(found))


def _take(entity: Entity, left: list[Entity]) -> bool:
    same: Sequence[Entity] = [
        other for other in left if other[2] == entity[2] and other[0] < entity[1] and entity[0] < other[1]
    ]
    if same:
        left.remove(same[0])
    return bool(same)
