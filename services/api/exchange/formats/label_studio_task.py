"""What one annotation or prediction of a Label Studio task says: its regions, put together with their answers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.api.exchange.attributes import read_attributes
from services.api.exchange.formats.base import Importing, Place, Refusal, Refused
from services.api.exchange.numbers import confidence
from services.api.exchange.rows import LabelRecord, RowFacts
from services.api.exchange.targets import Target, target_named
from services.api.pointers import escape
from shared.annotations import CLASSIFICATION_TYPES, Classification
from shared.label_studio.regions import READERS, Frame, NoRegion, read
from shared.ontology import FeatureSchema

_ANSWERS: Mapping[str, str] = {"choices": "choices", "textarea": "text"}
"""Types of regions that answer a question, each with where the answer stands in their value."""


@dataclass(frozen=True, slots=True)
class _Region:
    pointer: str
    raw: Mapping[str, Any]
    value: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.raw.get("type", "")).lower()

    @property
    def name(self) -> str:
        return str(self.raw.get("from_name", ""))

    @property
    def id(self) -> str | None:
        found = self.raw.get("id")
        return None if found is None else str(found)[:200]

    def words(self) -> Any:
        found = self.value.get(_ANSWERS[self.kind])
        if self.kind == "textarea":
            return "\n".join(str(one) for one in found) if isinstance(found, list) else found
        return found


@dataclass(frozen=True, slots=True)
class ReadTask:
    importing: Importing
    row: RowFacts
    pointer: str
    place: Place

    def records(self, said: Mapping[str, Any]) -> Iterable[LabelRecord | Refusal]:
        regions: list[_Region] = []
        for index, raw in enumerate(said.get("result") or ()):
            pointer = f"{self.pointer}/result/{index}"
            value = raw.get("value") if isinstance(raw, dict) else None
            if isinstance(value, dict):
                regions.append(_Region(pointer, raw, value))
            elif not (isinstance(raw, dict) and raw.get("type") == "relation"):
                yield Refusal(self.place, Refused("not_a_region", "a region has a value", pointer))
        drawn = [region for region in regions if region.kind in READERS]
        answered: defaultdict[str | None, list[_Region]] = defaultdict(list)
        for region in regions:
            if region.kind in _ANSWERS:
                own = region.id if any(one.id == region.id for one in drawn) else None
                answered[own].append(region)
            elif region.kind not in READERS:
                detail = f"regions of type {region.kind[:100]!r} are not taken"
                yield Refusal(self.place, Refused("kind_not_held", detail, f"{region.pointer}/type"), region.id)
        score = said.get("score")
        for region in drawn:
            yield from self._kept(region, lambda one: self._drawn(one, answered.get(one.id, []), score))
        yield from self._whole(answered.get(None, []), score)

    def _kept(self, region: _Region, make: Any) -> Iterable[LabelRecord | Refusal]:
        try:
            yield from make(region)
        except Refused as refused:
            pointer = refused.pointer if refused.pointer.startswith(self.pointer) else region.pointer + refused.pointer
            yield Refusal(self.place, Refused(refused.code, refused.detail, pointer), region.id)

    def _drawn(self, region: _Region, answers: Sequence[_Region], score: Any) -> Iterable[LabelRecord]:
        names = region.value.get(region.kind) or region.value.get("labels")
        if not isinstance(names, list) or not names:
            raise Refused("label_missing", "the region has no label", f"/value/{region.kind}")
        frame = Frame(self.row.width, self.row.height, self.row.text)
        if frame.width is None:  # nobody has read the picture yet: the sender may say
            frame = Frame(region.raw.get("original_width"), region.raw.get("original_height"), self.row.text)
        try:
            annotation = read(region.kind, region.value, frame)
        except NoRegion as error:
            raise Refused("invalid_geometry", str(error), "/value") from error
        for place, name in enumerate(names):
            target = target_named(self.importing, str(name), f"/value/{region.kind}/{place}")
            below = self._below(target, answers)
            yield self._record(region, target, annotation, below, score)

    def _below(self, target: Target, answers: Sequence[_Region]) -> tuple[Any, ...]:
        if target.feature is None or target.feature.id is None:
            return ()
        before = f"{escape(target.feature.name)}/"
        attributes = {region.name.removeprefix(before): region.words() for region in answers}
        found = read_attributes(self.importing.vocabulary, target.feature.id, attributes, self.pointer)
        if found.others:
            name = next(iter(found.others))
            detail = f"{target.feature.name!r} has no classification {name[:100]!r}"
            raise Refused("unknown_feature", detail, "/from_name")
        return tuple(found.answers)

    def _whole(self, regions: Sequence[_Region], score: Any) -> Iterable[LabelRecord | Refusal]:
        """Answers about the whole data row, those under an option beside the one that chooses it."""
        top: list[tuple[_Region, FeatureSchema | None]] = []
        below: list[tuple[_Region, FeatureSchema | None]] = []
        for region in regions:
            feature = self._classification(region)
            (top if feature is not None or "/" not in region.name else below).append((region, feature))
        for region, feature in top:
            nested = [one for one, _ in below if feature and one.name.startswith(f"{escape(feature.name)}/")]
            yield from self._kept(region, lambda one, of=feature, under=nested: self._answered(one, of, under, score))

    def _classification(self, region: _Region) -> FeatureSchema | None:
        """By the control's name; or the only one that has such an option, since others name their controls freely."""
        vocabulary = self.importing.vocabulary
        whole = [one for one in vocabulary.top if one.type in CLASSIFICATION_TYPES]
        for feature in whole:
            if region.name in {feature.name, escape(feature.name)}:
                return feature
        words = region.words()
        word = words[0] if isinstance(words, list) and words else None
        with_option = [one for one in whole if isinstance(word, str) and vocabulary.named(word, one.id)]
        return with_option[0] if len(with_option) == 1 and "/" not in region.name else None

    def _answered(
        self, region: _Region, feature: FeatureSchema | None, nested: Sequence[_Region], score: Any
    ) -> Iterable[LabelRecord]:
        if feature is None or feature.id is None:
            yield from self._unknown(region, score)
            return
        name = escape(feature.name)
        attributes = {name: region.words()} | {one.name: one.words() for one in nested}
        found = read_attributes(self.importing.vocabulary, None, attributes, self.pointer)
        own = [answer for answer in found.answers if answer.feature_schema_id == feature.id]
        if not own:
            raise Refused("not_an_answer", "nothing was answered", "/value")
        target = Target(feature, feature.name if self.importing.what == "pre_labels" else None)
        below = tuple(answer for answer in found.answers if answer.feature_schema_id != feature.id)
        yield self._record(region, target, own[0].annotation, below, score)

    def _unknown(self, region: _Region, score: Any) -> Iterable[LabelRecord]:
        words = region.words()
        if self.importing.what == "labels" or region.kind != "choices" or not isinstance(words, list):
            detail = f"the ontology has no classification {region.name[:100]!r}"
            raise Refused("unknown_feature", detail, "/from_name")
        for word in words:
            yield self._record(region, Target(None, str(word)), Classification(), (), score)

    def _record(self, region: _Region, target: Target, annotation: Any, answers: Any, score: Any) -> LabelRecord:
        own = region.raw.get("score")
        return LabelRecord(
            annotation=annotation,
            feature_schema_id=target.feature_id,
            id=region.id,
            answers=answers,
            confidence=confidence(score if own is None else own, "/score"),
            model_class=target.model_class,
        )
