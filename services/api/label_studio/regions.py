"""Pre-labels as regions of a labeling configuration: each goes to the control that has its name."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.api.exchange.attributes import attributes_of
from services.api.exchange.vocabulary import Vocabulary
from services.api.model_runs.schemas import PreLabel
from services.api.pointers import escape
from shared.annotations import AnnotationValue, FreeText
from shared.answers import option_key
from shared.label_studio.config import Control, LabelConfig
from shared.label_studio.regions import Frame, NoRegion, written


@dataclass(slots=True)
class RegionWriter:
    """What no control can hold is counted in `dropped`, by name of the feature."""

    config: LabelConfig
    vocabulary: Vocabulary
    dropped: Counter[str] = field(default_factory=Counter)

    def regions(self, shown: Sequence[PreLabel], frame: Frame) -> list[dict[str, Any]]:
        found = []
        for pre_label in shown:
            regions = list(self._of(pre_label, frame))
            found += regions
            if not regions:
                self.dropped[pre_label.feature_name] += 1
        return found

    def _of(self, pre_label: PreLabel, frame: Frame) -> Iterator[dict[str, Any]]:
        if pre_label.option_name is not None or isinstance(pre_label.annotation, FreeText):
            yield from self._answer(pre_label, frame)
            return
        for control in self.config.drawing(pre_label.feature_name):
            annotation = _as_drawn(pre_label.annotation, control)
            if annotation is None:
                continue
            try:
                shapes = written(annotation, frame)
            except NoRegion:
                continue
            word = control.word(pre_label.feature_name)
            for place, (kind, value) in enumerate(shapes):
                own = f"{pre_label.id}.{place}" if place else pre_label.id
                yield self._region(pre_label, control, kind, {**value, kind: [word]}, frame) | {"id": own}
            for below, words in self._below(pre_label):
                yield self._answering(pre_label, below, words, frame, shapes[0][1])
            return

    def _answer(self, pre_label: PreLabel, frame: Frame) -> Iterator[dict[str, Any]]:
        """The control of the feature's name, or the only one that has the option."""
        words = pre_label.annotation.text if isinstance(pre_label.annotation, FreeText) else pre_label.option_name
        control = self.config.answering(pre_label.feature_name)
        if control is None:
            having = [one for one in self.config.controls if one.answers and one.word(str(words)) is not None]
            control = having[0] if len(having) == 1 else None
        if control is not None:
            yield self._answering(pre_label, control, str(words), frame, {})

    def _below(self, pre_label: PreLabel) -> Iterator[tuple[Control, Any]]:
        feature = escape(pre_label.feature_name)
        answers = attributes_of(self.vocabulary, pre_label.classifications, pre_label.feature_schema_id)
        for path, words in answers.items():
            control = self.config.answering(f"{feature}/{path}") or self.config.answering(path)
            if control is not None:
                yield control, words

    def _answering(
        self, pre_label: PreLabel, control: Control, words: Any, frame: Frame, geometry: dict[str, Any]
    ) -> dict[str, Any]:
        listed = [words] if isinstance(words, str) else list(words)
        if control.kind == "choices":
            value = {"choices": [control.word(one) or one for one in listed]}
        else:
            value = {"text": listed}
        return self._region(pre_label, control, control.kind, {**geometry, **value}, frame)

    def _region(
        self, pre_label: PreLabel, control: Control, kind: str, value: dict[str, Any], frame: Frame
    ) -> dict[str, Any]:
        region = {
            "id": pre_label.id,
            "from_name": control.name,
            "to_name": control.to_name,
            "type": kind,
            "value": value,
            "score": pre_label.confidence,
        }
        if frame.width is not None:
            region |= {"original_width": frame.width, "original_height": frame.height, "image_rotation": 0}
        return region


def unmatched(config: LabelConfig, vocabulary: Vocabulary) -> list[str]:
    """Labels and choices of the configuration that the ontology has no feature or option for."""
    known = {option_key(feature.name) for feature in vocabulary.by_id.values()}
    words = dict.fromkeys(word for control in config.controls for word in control.words)
    return [word for word in words if option_key(word) not in known]


def _as_drawn(annotation: AnnotationValue, control: Control) -> Any:
    if control.draws is None or annotation.taken_by is control.draws:
        return annotation
    return annotation.convert(control.draws)
