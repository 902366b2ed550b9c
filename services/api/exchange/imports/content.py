"""What a label says, comparable whoever wrote it down."""

from typing import Any
from uuid import UUID

import orjson

from services.api.exchange.rows import Json
from shared.annotations import ANNOTATION


def content(feature_id: UUID, annotation: str, answers: str) -> tuple[Any, ...]:
    """Whatever order the JSON of the database has, and that of the answers."""
    return feature_id, ANNOTATION.validate_json(annotation), _listed(orjson.loads(answers))


def content_of(said: Json) -> tuple[Any, ...]:
    """Of what a decision has shown or made."""
    annotation = ANNOTATION.validate_python(said["annotation"])
    return UUID(said["feature_schema_id"]), annotation, _listed(said.get("classifications", ()))


def _listed(answers: Any) -> list[str]:
    return sorted(orjson.dumps(one, option=orjson.OPT_SORT_KEYS).decode() for one in answers)
