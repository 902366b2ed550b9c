"""The bodies in docs/review.md are what the api takes."""

import re

import pytest
from pydantic import BaseModel

from deploy.local.stack import ROOT
from services.api.review.bulk_schemas import BulkCreate
from services.api.review.schemas import DecisionsCreate, ReviewSubmit
from services.api.review_queue.schemas import ReserveCreate, RunComparisonCreate

PAGE = (ROOT / "docs" / "review.md").read_text()
EXAMPLES = re.findall(r"^`POST /v1/\S*/([a-z-]+)`[^\n]*\n\n```json\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
BODIES: dict[str, type[BaseModel]] = {
    "reserve": ReserveCreate,
    "run-comparisons": RunComparisonCreate,
    "decisions": DecisionsCreate,
    "submit": ReviewSubmit,
    "bulk": BulkCreate,
}


def test_every_body_has_its_example() -> None:
    assert {name for name, _ in EXAMPLES} == set(BODIES)
    assert len(EXAMPLES) == PAGE.count("```json")


@pytest.mark.parametrize(("name", "body"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_the_example_is_taken(name: str, body: str) -> None:
    BODIES[name].model_validate_json(body)
