"""How a data row came to its labels: its review, and what people decided, decision by decision."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.review.schemas import StoredAction
from shared.annotations import Annotation
from shared.answers import Answer

Json = dict[str, Any]
_SAYS = ("shown", "before", "made")
_FEATURES = ("feature_schema_id", "option_id")

DECIDED_HERE, DOES_NOT_FIT, LEFT_OPEN = "decided_here", "history_does_not_fit", "review_left_open"
LOSSES: Mapping[str, str] = {
    DECIDED_HERE: "people had decided about the data row here already, and their decisions stand",
    DOES_NOT_FIT: "the decisions lead to other labels than came in: some were left out of the export, or failed",
    LEFT_OPEN: "the review stays open: the data row has other labels here, or the ontology requires more",
}
"""Why decisions and reviews stay out."""


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class _Said(_Sent):
    feature_schema_id: UUID
    annotation: Annotation
    classifications: tuple[Answer, ...] = ()
    option_id: UUID | None = None


class DecisionRecord(_Sent):
    """As it leaves and comes in. `id`, `label_id`, `replaces`, `undoes` and ids of runs are names of where it was made;
    features and options in `shown`, `before` and `made` are the project's own once `with_ids` has been asked."""

    id: UUID
    action: StoredAction
    feature_schema_id: UUID
    option_id: UUID | None = None
    model_run_id: UUID | None = None
    ordinal: int | None = Field(default=None, ge=0, lt=2**31)
    shown: Json | None = None
    before: Json | None = None
    made: Json | None = None
    difference: Json | None = None
    label_id: str | None = Field(default=None, min_length=1, max_length=500)
    replaces: UUID | None = None
    undoes: UUID | None = None
    undone: bool = False
    revision: int = Field(default=0, ge=0, lt=2**31)
    operation_id: UUID | None = None
    policy_id: UUID | None = None
    decided_by: UUID | None = None
    decided_at: datetime | None = None

    def with_ids(self, ids: Mapping[UUID, UUID]) -> Self:
        """Raises KeyError for a feature or option that `ids` lacks, ValidationError for what is no label."""
        said = {name: with_ids(found, ids) for name in _SAYS if (found := getattr(self, name)) is not None}
        own = {"feature_schema_id": ids[self.feature_schema_id], "option_id": self.option_id and ids[self.option_id]}
        return self.model_copy(update={**said, **own, "difference": self._difference(ids)})

    def _difference(self, ids: Mapping[UUID, UUID]) -> Json | None:
        changed = (self.difference or {}).get("answers_changed")
        if self.difference is None or not isinstance(changed, list):
            return self.difference
        return {**self.difference, "answers_changed": [str(ids[UUID(str(one))]) for one in changed]}


class ReviewRecord(_Sent):
    """`labels` is how many the data row has; None where not all of them leave."""

    state: Literal["open", "submitted"] = "open"
    revision: int = Field(default=0, ge=0, lt=2**31)
    submitted_by: UUID | None = None
    submitted_at: datetime | None = None
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    labels: int | None = None


class History(_Sent):
    review: ReviewRecord = ReviewRecord()
    decisions: tuple[DecisionRecord, ...] = ()

    @property
    def says_something(self) -> bool:
        """More than that labels came in once."""
        review = self.review
        return bool(self.decisions) or review.state != "open" or review.seconds is not None or review.revision > 1

    def with_ids(self, ids: Mapping[UUID, UUID]) -> Self:
        """Raises KeyError or ValidationError, as decisions do."""
        return self.model_copy(update={"decisions": tuple(one.with_ids(ids) for one in self.decisions)})


def with_ids(said: Json, ids: Mapping[UUID, UUID]) -> Json:
    """What a label or pre-label says, with features and options by other ids; the rest of it stays."""
    parsed = _Said.model_validate(said)
    answers = [
        Answer(feature_schema_id=ids[one.feature_schema_id], annotation=one.annotation.with_options(ids))
        for one in parsed.classifications
    ]
    found = {
        **said,
        "feature_schema_id": str(ids[parsed.feature_schema_id]),
        "annotation": parsed.annotation.with_options(ids).model_dump(mode="json", exclude_none=True),
        "classifications": [one.model_dump(mode="json", exclude_none=True) for one in answers],
    }
    if isinstance(said.get("provenance"), dict):
        found["provenance"] = provenance_with_ids(said["provenance"], ids)
    return found if parsed.option_id is None else {**found, "option_id": str(ids[parsed.option_id])}


def provenance_with_ids(provenance: Json, ids: Mapping[UUID, UUID]) -> Json:
    """It repeats what the pre-label was shown for."""
    by_text = {str(there): str(here) for there, here in ids.items()}
    renamed = {name: by_text.get(str(provenance[name])) for name in _FEATURES if name in provenance}
    return {**provenance, **{name: here for name, here in renamed.items() if here is not None}}
