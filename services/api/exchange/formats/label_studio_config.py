"""The labeling configuration that a project's ontology is in Label Studio, and what its controls are called.

A tool is drawn with the control of its type, `bounding_box` and so on. Answers have controls of their own, named by the
way to them (`services.api.exchange.attributes`): `Car/colour` for the colour of a car, `Scene` for one of the whole.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from services.api.exchange.attributes import paths
from services.api.exchange.vocabulary import Vocabulary
from services.api.pointers import escape
from shared.annotations import CLASSIFICATION_TYPES, FeatureType
from shared.label_studio.regions import CONTROLS
from shared.ontology import FeatureSchema
from shared.preprocessing import MediaType


def configuration(vocabulary: Vocabulary, media_type: MediaType) -> str:
    """As Label Studio takes it. The task's data has `image` or `text`."""
    view = Element("View")
    SubElement(view, "Text" if media_type == "text" else "Image", name=media_type, value=f"${media_type}")
    by_type: defaultdict[str, list[FeatureSchema]] = defaultdict(list)
    for tool in (one for one in vocabulary.top if one.node == "tool"):
        by_type[str(tool.type)].append(tool)
    for kind, tools in by_type.items():
        control = SubElement(view, CONTROLS[kind], name=kind, toName=media_type)
        for tool in tools:
            SubElement(control, "Label", value=tool.name)
        for tool in tools:
            shown = {"perRegion": "true", "visibleWhen": "region-selected", "whenLabelValue": tool.name}
            _add_answers(view, vocabulary, tool, media_type, {**shown, "whenTagName": kind})
    for feature in (one for one in vocabulary.top if one.type in CLASSIFICATION_TYPES):
        _add_control(view, vocabulary, feature, escape(feature.name), {"toName": media_type})
        for option in vocabulary.children(feature.id):
            _add_answers(view, vocabulary, option, media_type, {}, before=f"{escape(feature.name)}/")
    indent(view)
    return tostring(view, encoding="unicode")


def control_names(
    vocabulary: Vocabulary, parent: FeatureSchema, before: str = ""
) -> Iterator[tuple[str, FeatureSchema]]:
    """Of the answers under a tool or an option of a classification, nested ones too."""
    if parent.id is not None:
        for path, feature in paths(vocabulary, parent.id):
            yield f"{before}{escape(parent.name)}/{path}", feature


def _add_answers(  # noqa: PLR0913 - all of it is one element
    view: Element, vocabulary: Vocabulary, parent: FeatureSchema, to: str, shown: dict[str, str], *, before: str = ""
) -> None:
    for name, feature in control_names(vocabulary, parent, before):
        _add_control(view, vocabulary, feature, name, {"toName": to, **shown})


def _add_control(
    view: Element, vocabulary: Vocabulary, feature: FeatureSchema, name: str, attributes: dict[str, str]
) -> None:
    SubElement(view, "Header", value=feature.name, size="6")
    if feature.type is FeatureType.FREE_TEXT:
        SubElement(view, "TextArea", {"name": name, **attributes})
        return
    choice = "multiple" if feature.type is FeatureType.CHECKLIST else "single"
    control = SubElement(view, "Choices", {"name": name, "choice": choice, **attributes})
    for option in _options(vocabulary, feature):
        SubElement(control, "Choice", value=option.name)


def _options(vocabulary: Vocabulary, feature: FeatureSchema) -> Iterable[FeatureSchema]:
    return vocabulary.children(feature.id)
