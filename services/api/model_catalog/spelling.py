"""A name without its form: case, separators, accents and a simple plural."""

import re
import unicodedata
from functools import lru_cache

_SEPARATORS = re.compile(r"[\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ACCENTS = re.compile("[\u0300-\u036f]")  # of Latin, Greek and Cyrillic letters; marks of other scripts are letters
_NO_PLURAL = ("ss", "us")
_SIBILANT_E = ("se", "xe", "ze", "che", "she")
_SHORTEST_PLURAL, _SHORTEST_OE = 4, 5
_IRREGULAR = {
    "children": "child",
    "feet": "foot",
    "geese": "goose",
    "mice": "mouse",
    "oxen": "ox",
    "teeth": "tooth",
    "calves": "calf",
    "elves": "elf",
    "halves": "half",
    "hooves": "hoof",
    "knives": "knife",
    "leaves": "leaf",
    "lives": "life",
    "loaves": "loaf",
    "scarves": "scarf",
    "shelves": "shelf",
    "thieves": "thief",
    "wives": "wife",
    "wolves": "wolf",
    "news": "news",
}


def plain_words(name: str) -> list[str]:
    """In small letters and without accents."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", _CAMEL.sub(" ", name)))
    return [word for word in _SEPARATORS.split(unicodedata.normalize("NFKC", plain).casefold()) if word]


@lru_cache(maxsize=100_000)
def words(name: str) -> tuple[str, ...]:
    """Plain, the last in the singular: `Traffic-Lights` gives traffic, light."""
    found = plain_words(name)
    return (*found[:-1], singular(found[-1])) if found else ()


def normalized(name: str) -> str:
    """Equal for `Traffic-Lights`, `traffic light` and `TrafficLight`; empty for a name of symbols alone."""
    return "".join(words(name))


def singular(word: str) -> str:
    """Bus and buses, horse and horses, puppy and puppies, tie and ties each come to the same; not always a word."""
    word = _IRREGULAR.get(word, word)
    if word.endswith("men"):
        return word[:-3] + "man"
    if len(word) >= _SHORTEST_PLURAL and not word.endswith(_NO_PLURAL) and word != "news":
        word = word.removesuffix("s")
    if word.endswith("ie"):
        return word[:-2] + "y"
    if word.endswith("oe") and len(word) >= _SHORTEST_OE:
        return word[:-1]
    return word[:-1] if word.endswith(_SIBILANT_E) else word
