"""What every HTTP answer of Prelabel has in common."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import PrelabelError

DEFAULT_PAGE_SIZE = 50
PROBLEM_TYPE_BASE = "https://prelabel.dev/problems/"
Item = TypeVar("Item")


class ProblemField(BaseModel):
    """One thing wrong in the request; `pointer` is a JSON pointer into the body."""

    pointer: str = Field(examples=["/tools/0/name"])
    code: str = Field(examples=["duplicate_name"])
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details. `type` is stable; `code` is its last part."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[PROBLEM_TYPE_BASE + "not_found"])
    title: str
    status: int = Field(examples=[404])
    detail: str
    code: str = Field(examples=["not_found"])
    request_id: str | None = None
    errors: list[ProblemField] = []


class Page(BaseModel, Generic[Item]):
    items: list[Item]
    next_page_token: str | None = Field(description="null on the last page")


def problem_of(error: PrelabelError, request_id: str | None = None) -> dict[str, Any]:
    """The JSON body of a problem."""
    problem = Problem(
        type=PROBLEM_TYPE_BASE + error.code,
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=request_id,
        errors=[ProblemField(pointer=e.pointer, code=e.code, detail=e.detail) for e in error.errors],
    )
    return {**error.extra, **problem.model_dump(mode="json")}
