"""What stands between a request and the features: values, pointers, tokens, ETags, roles, keys."""

import json
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from services.api.access.principal import Role
from services.api.etags import check_revision, etag, read_if_match
from services.api.paging import Paging
from services.api.pointers import field_errors
from services.api.values import check_values
from shared.api_keys import new_api_key_secret, parse_api_key
from shared.errors import Malformed, PreconditionFailed, PreconditionRequired, Unprocessable
from shared.page_tokens import Pager, scope_of


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (rb'{"a": "\u0000"}', ["/a"]),
        (rb'{"a": [1, {"b/c~": "\uD834"}]}', ["/a/1/b~1c~0"]),
        (rb'{"a": NaN, "b": -Infinity, "c": 1e999}', ["/a", "/b", "/c"]),
        (rb'{"\udc00": "\udc00"}', ["", "/?"]),
    ],
)
def test_unusable_values_are_pointed_at(body: bytes, pointers: list[str]) -> None:
    with pytest.raises(Unprocessable) as refused:
        check_values(body)
    assert sorted(error.pointer for error in refused.value.errors) == pointers


@pytest.mark.parametrize(
    "body",
    [
        rb'{"a": "\ud83d\ude00", "b": 1e100, "c": "NaN", "d": "1e999", "e": "\\u0000"}',
        b"{broken NaN",
        '{"a": "\U0001f600\u2028"}'.encode(),
        b"",
    ],
)
def test_usable_values_and_bad_json_pass(body: bytes) -> None:
    check_values(body)


def test_what_is_nested_too_deeply_is_malformed() -> None:
    with pytest.raises(Malformed):
        check_values(b"[" * 100_000 + b"NaN")


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Home(BaseModel):
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]
    number: int | Literal["none"]


def test_pointers_lead_through_unions() -> None:
    body: Any = {"pets": [{"kind": "dog", "name": "a"}, {"kind": "cat", "lives": "x"}, {"kind": "dog"}], "number": []}
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Home).validate_python(body)
    assert sorted({error.pointer for error in field_errors(caught.value.errors(), body)}) == [
        "/number",
        "/pets/1/lives",
        "/pets/2/name",
    ]


WORKSPACE = uuid4()


def paging(size: int, after: tuple[Any, ...] | None = None) -> Paging:
    return Paging(Pager("secret"), scope_of(WORKSPACE, "/v1/x", [("state", "a")]), size, after)


def test_walk_ends_with_the_last_item() -> None:
    items, seen, after = [(UUID(int=n), n) for n in range(10)], [], None
    for _ in range(4):
        rest = [item for item in items if after is None or item[0] > paging(3, after).after_id]  # type: ignore[operator]
        page = paging(3, after).page(rest[:4], lambda item: (str(item[0]),))
        seen += page.items
        if page.next_page_token is None:
            break
        after = Pager("secret").read(paging(3).scope, page.next_page_token)
    assert seen == items
    assert page.next_page_token is None


def test_token_fits_one_list_of_one_workspace() -> None:
    token = Pager("secret").sign(scope_of(WORKSPACE, "/v1/x", [("state", "a")]), ("key", 1))
    same = scope_of(WORKSPACE, "/v1/x", [("page_size", "7"), ("state", "a"), ("page_token", token)])
    assert Pager("secret").read(same, token) == ("key", 1)
    for scope in (
        scope_of(WORKSPACE, "/v1/x", [("state", "b")]),
        scope_of(WORKSPACE, "/v1/y", [("state", "a")]),
        scope_of(uuid4(), "/v1/x", [("state", "a")]),
    ):
        with pytest.raises(Malformed):
            Pager("secret").read(scope, token)
    for secret, wrong in (("other", token), ("secret", token[:-1]), ("secret", ""), ("secret", "ü.ü")):
        with pytest.raises(Malformed):
            Pager(secret).read(same, wrong)


def test_revisions_come_back_from_etags() -> None:
    assert read_if_match(etag(7)) == 7
    check_revision(7, 7)
    with pytest.raises(PreconditionRequired):
        read_if_match(None)
    for header in ("7", 'W/"7"', "*", '"07"', '"7", "8"', '"99999999999"'):
        with pytest.raises(PreconditionFailed):
            read_if_match(header)
    with pytest.raises(PreconditionFailed):
        check_revision(6, 7)


def test_roles_rise() -> None:
    allowed = {(role, needed) for role in Role for needed in Role if role.allows(needed)}
    assert (Role.ADMIN, Role.EDITOR) in allowed
    assert (Role.VIEWER, Role.LABELER) not in allowed
    assert len(allowed) == 10


def test_keys_are_read_back_and_never_shown() -> None:
    secret = new_api_key_secret(uuid4())
    parsed = parse_api_key(str(secret))
    assert parsed == secret
    assert secret.secret not in repr(secret)
    assert len(bytes.fromhex(secret.secret)) == 32
    for wrong in ("", "plk_", str(secret).upper(), str(secret) + "0", json.dumps(str(secret))):
        assert parse_api_key(wrong) is None
