"""What names mean beside their letters: synonyms, broader names and words that are no slips, from `words/`."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from services.api.model_catalog.spelling import normalized, singular

_FOLDER = Path(__file__).parent / "words"
_NO_GROUPS: frozenset[int] = frozenset()


def synonym_groups(key: str) -> frozenset[int]:
    """Two names are synonyms when they share a group. `key` is a normalized name."""
    return _groups().get(key, _NO_GROUPS)


@lru_cache(maxsize=20_000)
def broader_names(key: str) -> Mapping[str, int]:
    """Every broader name of a normalized name and of its synonyms, normalized, with how many steps up it is."""
    found: dict[str, int] = {}
    waiting = deque((name, 0) for name in _synonyms(key))
    while waiting:
        name, steps = waiting.popleft()
        for broader in _broader().get(name, ()):
            for same in _synonyms(broader):
                if same not in found:
                    found[same] = steps + 1
                    waiting.append((same, steps + 1))
    return {name: steps for name, steps in found.items() if name not in _synonyms(key)}


def is_known_word(word: str) -> bool:
    """Of at least five letters, as it stands in a name or in the singular."""
    return word in _known_words()


def are_distinct(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two names, given as words, are known to be different things of a kind."""
    mine, theirs = _keys(one), _keys(other)
    if any(_distinct().get(a, _NO_GROUPS) & _distinct().get(b, _NO_GROUPS) for a in mine for b in theirs):
        return True
    return bool(_kinds("".join(one)) & _kinds("".join(other)))


def _keys(words: Sequence[str]) -> set[str]:
    return {singular(word) for word in words} | {"".join(words)}


def _kinds(key: str) -> set[str]:
    """What it is one of, one step up."""
    return {name for name, steps in broader_names(key).items() if steps == 1}


def _synonyms(key: str) -> set[str]:
    return {key}.union(*(_members()[group] for group in synonym_groups(key)))


@cache
def _members() -> list[tuple[str, ...]]:
    return [tuple(normalized(name) for name in line.split(",")) for line in _lines("synonyms.txt")]


@cache
def _groups() -> Mapping[str, frozenset[int]]:
    found: defaultdict[str, set[int]] = defaultdict(set)
    for number, names in enumerate(_members()):
        for name in names:
            found[name].add(number)
    return {name: frozenset(numbers) for name, numbers in found.items()}


@cache
def _broader() -> Mapping[str, tuple[str, ...]]:
    """By narrower name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in _lines("broader_names.txt"):
        broader, _, narrower = line.partition(":")
        for name in narrower.split(","):
            found[normalized(name)].append(normalized(broader))
    return {name: tuple(names) for name, names in found.items()}


@cache
def _distinct() -> Mapping[str, frozenset[int]]:
    found: defaultdict[str, set[int]] = defaultdict(set)
    for number, line in enumerate(_lines("distinct_names.txt")):
        for name in line.split(","):
            found[normalized(name)].add(number)
    return {name: frozenset(numbers) for name, numbers in found.items()}


@cache
def _known_words() -> frozenset[str]:
    found = [word for line in _lines("known_words.txt") for word in line.split()]
    return frozenset(found) | {singular(word) for word in found}


def _lines(name: str) -> Iterator[str]:
    for line in (_FOLDER / name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line
