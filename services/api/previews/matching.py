"""Which of two sides' objects and answers are the same. Pure.

In the order of confidence, each takes the most alike that is still free and alike enough. So what is matched does not
change when the least sure are left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.annotations import AnnotationValue

Place = tuple[UUID, UUID | None]
"""A feature, and for a radio or checklist the option."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One object, or one answer, which has no `shape` where its option says it all."""

    place: Place
    shape: AnnotationValue | None


def things_of(feature_schema_id: UUID, annotation: AnnotationValue) -> list[Thing]:
    """An answer with several options is as many things."""
    options = annotation.option_ids()
    if options:
        return [Thing((feature_schema_id, option), None) for option in options]
    return [Thing((feature_schema_id, None), annotation)]


def match(found: Sequence[Thing], wanted: Iterable[Thing], *, roughly: bool = False) -> list[bool]:
    """For each of `found`, the surest first, whether it has a partner of its own among `wanted`."""
    free: defaultdict[Place, list[Thing]] = defaultdict(list)
    for thing in wanted:
        free[thing.place].append(thing)
    return [_takes(thing, free[thing.place], roughly) if thing.place in free else False for thing in found]


def _takes(thing: Thing, free: list[Thing], roughly: bool) -> bool:
    best, most = None, 0.0
    for place, other in enumerate(free):
        likeness = _likeness(thing, other, roughly)
        if likeness > most:
            best, most = place, likeness
    if best is None:
        return False
    del free[best]
    return True


def _likeness(thing: Thing, other: Thing, roughly: bool) -> float:
    """0 where it is not enough."""
    if thing.shape is None or other.shape is None:
        return float(thing.shape is other.shape)
    likeness = thing.shape.likeness(other.shape)
    least = thing.shape.touching_from if roughly else thing.shape.alike_from
    return likeness if likeness >= least else 0.0
