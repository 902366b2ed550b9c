"""Errors know their status, and become problems that say no more than they should."""

from collections.abc import Iterator

import pytest

from shared.contracts.http import PROBLEM_TYPE_BASE, Problem, problem_of
from shared.errors import Conflict, NotFound, PrelabelError, Problems, Unauthenticated, Unavailable, Unprocessable


def _all(of: type[PrelabelError] = PrelabelError) -> Iterator[type[PrelabelError]]:
    for error in of.__subclasses__():
        if error.__module__ == "shared.errors":
            yield error
            yield from _all(error)


ERRORS = list(_all())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error.__name__))
def test_every_error_is_a_whole_problem(error: type[PrelabelError]) -> None:
    body = problem_of(error(), "request-1")
    problem = Problem.model_validate(body)
    assert problem.status == error.status >= 400
    assert problem.type == PROBLEM_TYPE_BASE + error.code
    assert problem.detail == problem.title == error.title
    assert body["request_id"] == "request-1"


def test_codes_and_statuses_are_each_errors_own() -> None:
    assert len({error.code for error in ERRORS}) == len(ERRORS) == 12
    assert len({error.status for error in ERRORS}) == len(ERRORS)


def test_a_code_of_its_own_and_more_facts() -> None:
    body = problem_of(Conflict("it runs", code="illegal_transition", extra={"allowed": ["cancel"], "status": 200}))
    assert body["code"] == "illegal_transition"
    assert body["type"] == PROBLEM_TYPE_BASE + "illegal_transition"
    assert body["allowed"] == ["cancel"]
    assert body["status"] == 409, "no extra fact may hide the status"
    assert Conflict.code == "conflict"


def test_all_problems_in_one_answer() -> None:
    problems = Problems()
    problems.raise_if_any("fine")
    problems.add("/tools/0/name", "duplicate_name", "twice")
    problems.add("", "too_many_features", "many")
    with pytest.raises(Unprocessable) as raised:
        problems.raise_if_any("the ontology is wrong", code="invalid_ontology")
    body = problem_of(raised.value)
    assert [error["pointer"] for error in body["errors"]] == ["/tools/0/name", ""]
    assert (body["status"], body["code"]) == (422, "invalid_ontology")


def test_headers_go_with_the_error() -> None:
    assert Unauthenticated().headers == {"WWW-Authenticate": "Bearer"}
    assert NotFound("no", headers={"Retry-After": "1"}).headers == {"Retry-After": "1"}
    assert Unavailable("away", headers={"Retry-After": "5"}).headers == {"Retry-After": "5"}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error.__name__))
def test_what_may_be_sent_again_says_when(error: type[PrelabelError]) -> None:
    assert ("Retry-After" in error().headers) == (error.status in {429, 503})
