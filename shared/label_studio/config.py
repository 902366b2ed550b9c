"""A labeling configuration of Label Studio: which objects are shown, and which controls say something about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from shared.annotations import FeatureType
from shared.answers import option_key
from shared.label_studio.regions import CONTROLS

MAX_CHARACTERS = 1_000_000
_OBJECTS: Mapping[str, str] = {"image": "Image", "text": "Text"}
_TYPES: Mapping[str, FeatureType] = {control.lower(): FeatureType(kind) for kind, control in CONTROLS.items()}
_ANSWERING = frozenset({"choices", "textarea"})


class NoConfig(ValueError):
    """Why something is no labeling configuration."""


@dataclass(frozen=True, slots=True)
class Control:
    """`kind` is its tag in lower case, as regions have it; `words` are its labels or choices."""

    kind: str
    name: str
    to_name: str
    words: Sequence[str]

    @property
    def draws(self) -> FeatureType | None:
        return _TYPES.get(self.kind)

    @property
    def answers(self) -> bool:
        return self.kind in _ANSWERING

    def word(self, name: str) -> str | None:
        """How it writes this name, whatever its case."""
        return next((one for one in self.words if option_key(one) == option_key(name)), None)


@dataclass(frozen=True, slots=True)
class Shown:
    """An object: `field` of a task's data is its content."""

    name: str
    field: str


@dataclass(frozen=True, slots=True)
class LabelConfig:
    shown: Shown
    controls: Sequence[Control]

    def drawing(self, name: str) -> Sequence[Control]:
        """The controls that have a label of this name."""
        return [one for one in self.controls if one.draws and one.word(name) is not None]

    def answering(self, name: str) -> Control | None:
        return next((one for one in self.controls if one.answers and option_key(one.name) == option_key(name)), None)


def read_config(xml: str, media_type: str) -> LabelConfig:
    """The first object of this media type with the controls about it. Raises NoConfig."""
    if len(xml) > MAX_CHARACTERS:
        raise NoConfig(f"it has more than {MAX_CHARACTERS} characters")
    try:
        root = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise NoConfig(f"it is not XML that can be read: {error}"[:300]) from error
    wanted = _OBJECTS[media_type]
    for element in root.iter(wanted):
        name, field = element.get("name"), element.get("value", "")
        if name and field.startswith("$"):
            return LabelConfig(Shown(name, field[1:]), [one for one in _controls(root) if one.to_name == name])
    raise NoConfig(f"it shows no {wanted} with a name and a value")


def _controls(root: Any) -> Sequence[Control]:
    found = []
    for element in root.iter():
        kind = str(element.tag).lower()
        if (kind in _TYPES or kind in _ANSWERING) and element.get("name") and element.get("toName"):
            words = [child.get("value", "") for child in element.iter() if child.tag in {"Label", "Choice"}]
            found.append(Control(kind, element.get("name"), element.get("toName"), words))
    return found
