"""A first alignment by name, and the order of the catalog for a project."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.model_catalog.criteria import criterion_texts
from services.api.model_catalog.ranking import Needs, Offer, compare, ranked
from services.api.model_catalog.spelling import normalized
from services.api.model_catalog.suggest import suggest
from shared.answers import Answer, AnswerFromAttribute, EntryAnswer
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


def _boxes(*names: str) -> Sequence[FeatureSchema]:
    return _features(Ontology(tools=tuple(Tool(type="bounding_box", name=name) for name in names)))


def _pairs(classes: Sequence[str], names: Sequence[str]) -> list[tuple[str, str, str]]:
    found = suggest(card("x", "bounding_box", classes), _boxes(*names))
    return [(entry.model_class, entry.slot.name, entry.reason) for entry in found.entries]


@pytest.mark.parametrize(
    ("classes", "names", "expected"),
    [
        # Names that mean a feature may be many.
        (["car", "truck", "bus"], ["Vehicle"], {"car": "Vehicle", "truck": "Vehicle", "bus": "Vehicle"}),
        (["cat", "cats"], ["Cats"], {"cat": "Cats", "cats": "Cats"}),
        # A class takes the surest place alone.
        (["car", "truck"], ["Vehicle", "Car"], {"car": "Car", "truck": "Vehicle"}),
        (["person"], ["Pedestrian", "Person"], {"person": "Person"}),
        (["tabby"], ["Animal", "Cat"], {"tabby": "Cat"}),
        # What is only alike is one to one, and only where nothing surer is.
        (["bicycle"], ["bicyle", "bicycel"], {"bicycle": "bicyle"}),
        (["bicycel", "bicyle"], ["bicycle"], {"bicycel": "bicycle"}),
        (["bicycle", "bicycel"], ["Bicycle"], {"bicycle": "Bicycle"}),
        (["elephant", "umbrella"], ["umbrela", "elephnat"], {"elephant": "elephnat", "umbrella": "umbrela"}),
    ],
)
def test_where_names_compete(classes: list[str], names: list[str], expected: dict[str, str]) -> None:
    found = _pairs(classes, names)
    assert {model_class: name for model_class, name, _ in found} == expected
    assert len(found) == len(expected)
    assert len({name for _, name, reason in found if reason == "similar_name"}) == sum(
        reason == "similar_name" for *_, reason in found
    )


def test_the_order_of_the_ontology_decides_nothing_but_ties() -> None:
    names = ["Vehicle", "Car", "umbrela", "Couch"]
    classes = ["sofa", "car", "truck", "umbrella"]
    assert sorted(_pairs(classes, names)) == sorted(_pairs(classes[::-1], names[::-1]))


_YES = Classification(type="radio", name="occluded", options=(Option(name="yes"), Option(name="no")))
_KIND = Classification(
    type="radio",
    name="kind",
    options=(Option(name="truck", classifications=(_YES,)), Option(name="bus"), Option(name="other")),
)
_NESTED = _features(
    Ontology(
        tools=(
            Tool(type="bounding_box", name="Vehicle", classifications=(_KIND,)),
            Tool(type="bounding_box", name="Bus"),
        ),
        classifications=(
            Classification(
                type="radio", name="animal", options=(Option(name="cat", classifications=(_KIND,)), Option(name="Dog"))
            ),
        ),
    )
)  # fmt: skip


def test_a_class_takes_the_place_its_geometry_is_nearest_to() -> None:
    places = (("point", "Persons"), ("bounding_box", "Pedestrian"), ("polygon", "People"), ("mask", "Humans"))
    ontology = _features(Ontology(tools=tuple(Tool(type=kind, name=name) for kind, name in places)))
    for kind, name in (("bounding_box", "Pedestrian"), ("polygon", "People"), ("mask", "Humans")):
        assert [one.slot.name for one in suggest(card("x", kind, ("human being",)), ontology).entries] == [name]
    without = [feature for feature in ontology if feature.name != "Humans"]
    assert [one.slot.name for one in suggest(card("x", "mask", ("human being",)), without).entries] == ["People"]


def _answered(answers: Sequence[EntryAnswer]) -> list[str]:
    names = {feature.id: feature.name for feature in _NESTED}
    constant = [one.annotation for one in answers if isinstance(one, Answer)]
    assert len(constant) == len(answers)
    return [names[option] for annotation in constant for option in annotation.option_ids()]


@pytest.mark.parametrize(
    ("model_class", "expected"),
    [
        ("truck", ("Vehicle", ["truck"], "exact_name")),
        ("lorry", ("Vehicle", ["truck"], "synonym")),
        ("car", ("Vehicle", [], "broader_name")),
        ("bus", ("Bus", [], "normalized_name")),  # the tool, though the option has the very name
        ("other", None),
        ("yes", None),
        ("other vehicle", ("Vehicle", ["other"], "normalized_name")),
        ("Vehicle: other", ("Vehicle", ["other"], "normalized_name")),
        ("truck (occluded: yes)", None),
    ],
)
def test_classes_meet_options_under_a_tool(model_class: str, expected: tuple[str, list[str], str] | None) -> None:
    found = suggest(card("x", "bounding_box", (model_class,)), _NESTED).entries
    assert [(one.slot.feature.name, _answered(one.answers), one.reason) for one in found] == (
        [expected] if expected else []
    )


def test_classes_meet_options_under_an_option() -> None:
    found = suggest(card("x", "classification", ("bus", "tabby", "dog")), _NESTED).entries
    by_class = {one.model_class: (one.slot.option, _answered(one.answers), one.reason) for one in found}
    assert {
        name: (option and option.name, answers, reason) for name, (option, answers, reason) in by_class.items()
    } == {
        "bus": ("cat", ["bus"], "exact_name"),
        "tabby": ("cat", [], "broader_name"),
        "dog": ("Dog", [], "normalized_name"),
    }


_PLATES = Classification(type="free_text", name="number")
_COLOUR = Classification(type="radio", name="Colour", options=(Option(name="red"), Option(name="Blue ")))


@pytest.mark.parametrize(
    ("tools", "reason", "score"),
    [
        (("Text", "Person"), "normalized_name", 0.9),
        (("Sign", "Person"), "reads_text", 0.5),
        (("Sign", "Sign 2"), None, 0),
    ],
)
def test_what_a_model_reads_fills_a_free_text(tools: tuple[str, str], reason: str | None, score: float) -> None:
    nested = [(_PLATES, _COLOUR), (_PLATES,) if tools[1] == "Sign 2" else (_COLOUR,)]
    made = [
        Tool(type="bounding_box", name=name, classifications=under) for name, under in zip(tools, nested, strict=True)
    ]
    ontology = _features(Ontology(tools=tuple(made)))
    found = suggest(card("ocr", "bounding_box", ("text",), attributes=("text", "colour")), ontology).entries
    assert [(one.reason, one.score) for one in found] == ([(reason, score)] if reason else [])
    for one in found:
        ids = {feature.name: feature.id for feature in ontology if feature.parent_id in {None, one.slot.feature.id}}
        options = {"red": "red", "blue": "Blue "}
        text, colour = one.answers
        assert isinstance(text, AnswerFromAttribute)
        assert isinstance(colour, AnswerFromAttribute)
        assert (text.feature_schema_id, text.attribute, text.type) == (ids["number"], "text", "free_text")
        assert (colour.feature_schema_id, colour.attribute) == (ids["Colour"], "colour")
        assert {name: next(f.name for f in ontology if f.id == one) for name, one in colour.options.items()} == options


def _open_ended(slug: str) -> ModelCard:
    return card(slug, "classification", (), decoder={"name": "embeddings"}, task="zero_shot_classification")


def test_criteria_start_from_the_names() -> None:
    found = suggest(_open_ended("open"), _STREET)
    assert [(one.model_class, one.slot.name, one.reason) for one in found.entries] == [
        ("Cats", "Cats", "own_words"),
        ("tabby cat", "tabby cat", "own_words"),
    ]
    texts = criterion_texts("image", [(entry.model_class, entry.slot) for entry in found.entries], {})
    assert texts == {"Cats": "This picture shows Cats.", "tabby cat": "This picture shows tabby cat."}
    assert not found.uncovered


def test_options_of_one_name_are_criteria_of_their_own() -> None:
    answers = (Option(name="yes"), Option(name="No"))
    ontology = _features(
        Ontology(
            classifications=(
                Classification(type="radio", name="urgent", options=answers),
                Classification(type="radio", name="polite", options=(*answers, Option(name="rather"))),
            )
        )
    )
    found = [(entry.model_class, entry.slot) for entry in suggest(_open_ended("open"), ontology).entries]
    assert [name for name, _ in found] == ["urgent: yes", "urgent: No", "polite: yes", "polite: No", "rather"]
    urgent, polite = (feature.id for feature in ontology if feature.is_top_level)
    assert urgent is not None
    assert polite is not None
    texts = criterion_texts("text", found, {urgent: "Must somebody act?", polite: "x" * 300})
    assert texts["urgent: yes"] == "Must somebody act? yes"
    assert texts["polite: yes"] == "This text is about yes."


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
    # Of six top features two are covered.
    assert found.score == pytest.approx(0.2 + 0.6 * (1 + 0.9 + 0) / 3 + 0.2 * 2 / 6, abs=1e-4)
    assert (found.class_coverage, found.ontology_coverage) == (0.6667, 0.3333)
    assert [one.code for one in found.reasons] == [
        "fills_features", "matched_exact_name", "matched_normalized_name", "names_missing", "never_filled"
    ]  # fmt: skip
    assert "Traffic-Lights (traffic light)" in found.reasons[2].detail
    stranger = compare(_offer(card("x", "bounding_box", ("zebra",))), needs)
    assert stranger.score == 0.2
    assert not stranger.blockers


def test_what_is_lost_and_what_must_be_written_cost_something() -> None:
    boxes = _boxes("person", "cat")
    points = _features(Ontology(tools=(Tool(type="point", name="person"), Tool(type="point", name="cat"))))
    whole, lossy = (compare(_offer(_DETECTOR), Needs("image", ontology)) for ontology in (boxes, points))
    assert whole.score == 1.0
    assert lossy.score == pytest.approx(0.2 + 0.6 * 0.85 + 0.2)
    assert [(one.code, one.detail) for one in lossy.reasons if one.code == "conversion_loses"] == [
        ("conversion_loses", "shown as point, what the model gives keeps only the centre")
    ]
    classifier = card("known", "classification", ("cat", "tabby cat"))
    known, written = (compare(_offer(model), Needs("image", _STREET)) for model in (classifier, _open_ended("open")))
    assert known.score > written.score
    assert "needs_criteria" in [one.code for one in written.reasons]


_FIXED: tuple[tuple[str, str, tuple[str, ...], dict[str, object]], ...] = (
    ("exact", "bounding_box", ("person", "car", "dog"), {}),
    ("synonyms", "bounding_box", ("pedestrian", "automobile", "canine"), {}),
    ("broader", "bounding_box", ("man", "sedan", "beagle"), {}),
    ("slips", "bounding_box", ("persn", "dogg"), {}),
    ("outlines", "polygon", ("person", "car", "dog"), {}),
    ("masks", "mask", ("person",), {}),
    ("stranger", "bounding_box", ("zebra",), {}),
    ("texts", "text_entity", ("person",), {"media_type": "text", "task": "named_entity_recognition",
        "preprocessing": {"kind": "plain_text"}, "inputs": ({"name": "t", "datatype": "BYTES", "shape": (1,)},)}),
)  # fmt: skip


@given(st.permutations(_FIXED))
def test_the_order_of_fixed_models_is_fixed(
    models: Sequence[tuple[str, str, tuple[str, ...], dict[str, object]]],
) -> None:
    needs = Needs("image", _boxes("person", "car", "dog"))
    offers = [_offer(card(slug, kind, classes, **more)) for slug, kind, classes, more in models]
    order = ranked((offer.card.slug, offer, compare(offer, needs)) for offer in offers)
    scores = [found.score for _, found in order]
    assert scores == sorted(scores, reverse=True)
    assert [slug for slug, _ in order] == [
        "exact", "outlines", "broader", "synonyms", "masks", "slips", "stranger", "texts"
    ]  # fmt: skip


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
