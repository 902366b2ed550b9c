"""Names that differ by a slip of the pen, and by nothing that could be meant."""

from rapidfuzz.distance import OSA

from services.api.model_catalog.lexicon import is_known_word
from services.api.model_catalog.spelling import words

_SHORTEST, _LONG = 5, 9


def initials(name: str) -> str:
    """Equal for any two names that `similarity` could find alike."""
    return " ".join(word[0] for word in words(name))


def similarity(one: str, other: str) -> float | None:
    """From 0 to 1 where one word of the names is a misspelling of its counterpart and the others are equal."""
    pairs = list(zip(words(one), words(other), strict=False))
    if len(words(one)) != len(words(other)):
        return None
    different = [pair for pair in pairs if pair[0] != pair[1]]
    if len(different) != 1 or not _is_slip(*different[0]):
        return None
    length = max(sum(map(len, words(one))), sum(map(len, words(other))))
    return 1 - OSA.distance(*different[0]) / length


def _is_slip(one: str, other: str) -> bool:
    """One letter wrong, missing, added or out of place, two from nine letters on; never a real word for another."""
    shortest = min(len(one), len(other))
    if shortest < _SHORTEST or one[0] != other[0] or not (one.isalpha() and other.isalpha()):
        return False
    if is_known_word(one) == is_known_word(other):
        # Two words, or two names of which we know neither: what differs may be meant.
        return False
    slips = 1 if shortest < _LONG else 2
    return OSA.distance(one, other, score_cutoff=slips) <= slips or sorted(one) == sorted(other)
