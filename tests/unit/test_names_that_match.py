"""The golden table: what is suggested for a class and a feature that stand alone, and for which reason."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from services.api.model_catalog.lexicon import broader_names, is_known_word, synonym_groups
from services.api.model_catalog.matches import SCORES
from services.api.model_catalog.slips import similarity
from services.api.model_catalog.spelling import normalized
from services.api.model_catalog.suggest import suggest
from shared.ontology import Classification, Ontology, Option, Tool, features, with_ids
from tests.support.cards import card

_TABLE = Path(__file__).parent / "data/names_that_match.tsv"
_PAIRS = [
    tuple(row) for row in csv.reader(_TABLE.read_text("utf-8").splitlines()[1:], delimiter="\t", quoting=csv.QUOTE_NONE)
]


def _reason(model_class: str, feature: str, kind: str) -> str:
    if kind == "classification":
        options = Classification(type="radio", name="?", options=(Option(name=feature),))
        ontology = Ontology(classifications=(options,))
    else:
        ontology = Ontology(tools=(Tool(type="bounding_box", name=feature),))
    found = suggest(card("one", kind, (model_class,)), list(features(with_ids(ontology)))).entries
    assert all(0 < entry.score <= SCORES[entry.reason] for entry in found)
    return found[0].reason if found else "none"


@pytest.mark.parametrize("kind", ["bounding_box", "classification"])
@pytest.mark.parametrize(("model_class", "feature", "expected"), _PAIRS)
def test_golden_table(model_class: str, feature: str, expected: str, kind: str) -> None:
    assert _reason(model_class, feature, kind) == expected


def test_the_table_is_large_and_full_of_traps() -> None:
    assert len(_PAIRS) == len(set(_PAIRS)) >= 150
    counts = Counter(expected for _, _, expected in _PAIRS)
    assert counts["none"] >= 150
    assert min(counts[reason] for reason in ("normalized_name", "synonym", "broader_name", "similar_name")) >= 25


@pytest.mark.parametrize(("model_class", "feature", "expected"), _PAIRS)
def test_only_broader_names_have_a_direction(model_class: str, feature: str, expected: str) -> None:
    if expected not in {"broader_name", "none"} and ", " not in model_class:
        assert _reason(feature, model_class, "bounding_box") == expected
    if expected == "broader_name":
        assert _reason(feature, model_class, "bounding_box") in {"none", "broader_name"}


def test_the_tables_do_not_contradict_themselves() -> None:
    for name in ("car", "dog", "person", "boat", "banana", "golden retriever", "tv"):
        key = normalized(name)
        assert not any(synonym_groups(key) & synonym_groups(broader) for broader in broader_names(key))
        assert not any(key in broader_names(broader) for broader in broader_names(key)), "nothing is above itself"
    assert broader_names(normalized("Siamese cat")) == {"cat": 1, "domesticcat": 1, "housecat": 1, "pet": 2} | {
        name: 2 for name in ("animal", "mammal")
    }


def test_slips_are_few_and_never_one_word_for_another() -> None:
    assert similarity("motorbike", "moterbike") == pytest.approx(8 / 9)
    assert similarity("traffic light", "trafic light") == pytest.approx(11 / 12)
    assert similarity("trafic light", "traffic ligth") is None, "one word at the most"
    assert similarity("bicycle", "bicycle") is None
    assert similarity("Blorptonium", "Blorptonum") is None, "two names that nobody knows may both be meant"
    assert (is_known_word("horse"), is_known_word("horses"), is_known_word("hoarse")) == (True, True, True)
