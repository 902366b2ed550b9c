"""A first alignment by name, and the order of the catalog for a project."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.model_catalog.ranking import Needs, Offer, compare, ranked
from services.api.model_catalog.suggest import normalized, suggest
from shared.model_card import ModelCard
from shared.ontology import Classification, FeatureSchema, Ontology, Option, Tool, features, with_ids
from tests.support.cards import card


def _features(ontology: Ontology) -> Sequence[FeatureSchema]:
    return list(features(with_ids(ontology)))


_STREET = _features(
    Ontology(
        tools=(
            Tool(type="bounding_box", name="person"),
            Tool(type="polygon", name="Traffic-Lights"),
            Tool(type="bounding_box", name="Robot"),
            Tool(type="polyline", name="cat"),
        ),
        classifications=(
            Classification(type="radio", name="dog", options=(Option(name="Cats"), Option(name="tabby cat"))),
            Classification(type="free_text", name="person's name"),
        ),
    )
)
_DETECTOR = card("detect", "bounding_box", ("person", "traffic light", "cat", "dog"))
_CLASSIFIER = card("classify", "classification", ("tabby-cat", "dog", "cat", "cats"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("traffic light", "Traffic-Lights"),
        ("bus", "Buses"),
        ("horse", "horses"),
        ("glass", "glasses"),
        ("puppy", "PUPPIES"),
        ("tie", "ties"),
        ("wine_glass", "wine glasses"),
        ("hot dog", "HotDogs"),
        ("skis", "ski"),
    ],
)
def test_names_that_mean_the_same(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)


@pytest.mark.parametrize(
    ("one", "other"), [("kite", "kit"), ("car", "care"), ("cat", "cart"), ("gas", "ga"), ("bus", "bu")]
)
def test_names_that_do_not(one: str, other: str) -> None:
    assert normalized(one) != normalized(other)


def test_detector_meets_tools_it_can_fill() -> None:
    found = suggest(_DETECTOR, _STREET)
    assert [(e.model_class, e.slot.name, e.reason, e.score) for e in found.entries] == [
        ("person", "person", "exact_name", 1.0),
        ("traffic light", "Traffic-Lights", "normalized_name", 0.9),
    ]
    assert found.unmapped_classes == ("cat", "dog")
    assert [slot.name for slot in found.uncovered] == ["Robot"]
    assert [feature.name for feature in found.unfillable] == ["cat", "dog", "person's name"]


def test_classifier_meets_options_and_one_of_each_feature() -> None:
    found = suggest(_CLASSIFIER, _STREET)
    assert [(e.model_class, e.slot.name, e.reason) for e in found.entries] == [
        ("tabby-cat", "tabby cat", "normalized_name"),
        ("cat", "Cats", "normalized_name"),
        ("cats", "Cats", "normalized_name"),
    ]
    assert not found.uncovered


_NAMES = st.text(st.sampled_from("aes -_S"), min_size=1, max_size=6)


@given(
    st.lists(_NAMES, min_size=1, max_size=8, unique=True), st.lists(_NAMES, max_size=6), st.lists(_NAMES, max_size=6)
)
def test_suggestion_accounts_for_everything(classes: list[str], tools: list[str], options: list[str]) -> None:
    ontology = _features(
        Ontology(
            tools=tuple(Tool(type="bounding_box", name=name) for name in tools),
            classifications=(
                Classification(type="radio", name="r", options=tuple(Option(name=name) for name in options)),
            ),
        )
    )
    for model in (card("d", "bounding_box", classes), card("c", "classification", classes)):
        found = suggest(model, ontology)
        mapped = {entry.model_class for entry in found.entries}
        assert mapped | set(found.unmapped_classes) == set(classes)
        assert not mapped & set(found.unmapped_classes)
        # A pre-label is addressed by detection and feature, so a class has at most one place in a feature.
        places = [(entry.model_class, entry.slot.feature.id) for entry in found.entries]
        assert len(places) == len(set(places))
        assert found.slots == (len(tools) if model.annotation_kind == "bounding_box" else len(options))


def _offer(model: ModelCard, state: str = "ready") -> Offer:
    return Offer(model, state, None if state == "ready" else "loading weights")


def test_blockers_say_what_is_wrong() -> None:
    text = compare(_offer(_DETECTOR), Needs("text", _STREET))
    assert (text.score, [one.code for one in text.blockers]) == (0.0, ["media_type"])
    nothing = compare(_offer(_DETECTOR, "loading"), Needs("image", ()))
    assert (nothing.score, nothing.class_coverage) == (0.0, 0.0)
    assert [one.code for one in nothing.blockers] == ["no_feature", "not_ready"]


def test_score_rises_with_what_fits_by_name() -> None:
    needs = Needs("image", _STREET)
    found = compare(_offer(_DETECTOR), needs)
    assert (found.score, found.class_coverage) == (0.7067, 0.6667)  # 0.2 + 0.8 x (1 + 0.9 + 0) / 3
    stranger = compare(_offer(card("x", "bounding_box", ("zebra",))), needs)
    assert stranger.score == 0.2
    assert not stranger.blockers


def test_what_can_be_used_comes_first_then_the_better_fit() -> None:
    needs = Needs("image", _STREET)
    offers = [
        _offer(_DETECTOR, "unavailable"),
        _offer(card("z", "bounding_box", ("zebra",))),
        _offer(card("b", "bounding_box", ("person", "robot"))),
        _offer(card("a", "bounding_box", ("zebra",))),
    ]
    order = ranked((offer.card.slug, offer, compare(offer, needs)) for offer in offers)
    assert [slug for slug, _ in order] == ["b", "a", "z", "detect"]
