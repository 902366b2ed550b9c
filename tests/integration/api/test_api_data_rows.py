import asyncio
import io
import json
import struct
import zlib
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from PIL import Image

from services.api.access.principal import Role
from services.api.data_rows.stream import LINES_A_PART
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def images(admin: httpx2.AsyncClient) -> str:
    """The path of an image project."""
    made = await admin.post("/v1/projects", json={"name": "images", "media_type": "image"})
    return f"/v1/projects/{made.json()['id']}"


@pytest_asyncio.fixture
async def texts(admin: httpx2.AsyncClient) -> str:
    """The path of a text project."""
    made = await admin.post("/v1/projects", json={"name": "texts", "media_type": "text"})
    return f"/v1/projects/{made.json()['id']}"


def picture(width: int = 40, height: int = 30, kind: str = "JPEG", orientation: int | None = None) -> bytes:
    file = io.BytesIO()
    image = Image.new("RGB", (width, height), (200, 30, 30))
    exif = image.getexif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(file, kind, exif=exif)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes whose header promises 1.6 gigapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def lines_of(answer: httpx2.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


async def send_lines(client: httpx2.AsyncClient, project: str, content: bytes) -> list[dict[str, Any]]:
    answer = await client.post(
        f"{project}/data-rows", content=content, headers={"Content-Type": "application/x-ndjson"}
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    return lines_of(answer)


async def test_items_fail_alone_and_a_repeat_is_harmless(
    admin: httpx2.AsyncClient, workspace: Workspace, images: str
) -> None:
    good = {"global_key": "a", "uri": "https://images.example.org/a.jpg", "metadata": {"n": 1}}
    items: list[Any] = [
        good,
        {"global_key": "b", "uri": "https://elsewhere.example.org/b.jpg"},
        {"global_key": "c", "text": "words"},
        {"global_key": "d", "uri": f"store://{workspace.id}/x"},
        {"global_key": "e", "uri": f"store://{workspace.id}/../{uuid4()}/x"},
        {"global_key": "f", "uri": f"store://{uuid4()}/x"},
        {"global_key": "g"},
        {"uri": "https://images.example.org/a.jpg"},
        {"global_key": "h", "uri": "https://images.example.org/h.jpg", "colour": "red"},
        good,
        {**good, "uri": "https://images.example.org/other.jpg"},
        "no object",
    ]
    found = (await admin.post(f"{images}/data-rows", json={"items": items})).json()
    assert [(one["line"], one["status"], (one["error"] or {}).get("code")) for one in found["results"]] == [
        (1, "created", None),
        (2, "failed", "host_not_allowed"),
        (3, "failed", "does_not_fit_media_type"),
        (4, "created", None),
        (5, "failed", "unknown_object"),
        (6, "failed", "unknown_object"),
        (7, "failed", "value_error"),
        (8, "failed", "missing"),
        (9, "failed", "extra_forbidden"),
        (10, "unchanged", None),
        (11, "failed", "global_key_taken"),
        (12, "failed", "model_type"),
    ]
    assert (found["created"], found["unchanged"], found["failed"]) == (2, 1, 9)
    assert found["results"][8]["error"]["pointer"] == "/colour"
    assert "ALLOWED_CONTENT_HOSTS" in found["results"][1]["error"]["detail"]

    again = (await admin.post(f"{images}/data-rows", json={"items": items[:2]})).json()
    assert [one["status"] for one in again["results"]] == ["unchanged", "failed"]
    assert again["results"][0]["id"] == found["results"][0]["id"]
    other = {**good, "metadata": {"n": 2}}
    changed = (await admin.post(f"{images}/data-rows", json={"items": [other]})).json()
    assert changed["results"][0]["error"]["code"] == "global_key_taken"

    events = (await admin.get(f"{images}/events")).json()["items"]
    assert [item["event"]["data"]["created"] for item in events if item["event"]["type"] == "data_rows.imported"] == [2]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"{", 400, None),
        (b"[]", 422, ""),
        (b'{"items": []}', 422, "/items"),
        (b'{"items": [{}], "x": 1}', 422, "/x"),
        (b"[" * 100_000, 400, None),
        (b'{"items": [' + b"[" * 900 + b"]" * 900 + b"]}", 200, None),
        (b'{"items": ["\xff"]}', 400, None),
    ],
)
async def test_unusable_bodies_are_refused(
    admin: httpx2.AsyncClient, images: str, body: bytes, status: int, pointer: str | None
) -> None:
    answer = await admin.post(f"{images}/data-rows", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    if pointer is not None:
        assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        (b'{"global_key": "a\\u0000", "text": "x"}', "/global_key"),
        (b'{"global_key": "\\ud800", "text": "x"}', "/global_key"),
        (b'{"global_key": "a", "text": "x", "metadata": {"n": NaN}}', "/metadata/n"),
        (b'{"global_key": "a", "text": "x", "metadata": {"n": 1e999}}', "/metadata/n"),
        (b'{"global_key": "a", "text": "x", "metadata": {"\\u0000": 1}}', "/metadata"),
    ],
)
async def test_values_that_cannot_be_stored_cost_no_neighbour(
    admin: httpx2.AsyncClient, texts: str, item: bytes, pointer: str
) -> None:
    body = b'{"items": [%s, {"global_key": "good", "text": "x"}]}' % item
    answer = await admin.post(f"{texts}/data-rows", content=body, headers={"Content-Type": "application/json"})
    bad, good = answer.json()["results"]
    assert (bad["status"], bad["error"]["pointer"], good["status"]) == ("failed", pointer, "created")


async def test_other_content_types_are_415(admin: httpx2.AsyncClient, images: str) -> None:
    for kind in ("text/csv", ""):
        answer = await admin.post(f"{images}/data-rows", content=b"a,b", headers={"Content-Type": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")


async def test_stream_answers_every_line_by_its_number(admin: httpx2.AsyncClient, texts: str) -> None:
    content = b"\n".join(
        [
            b'\xef\xbb\xbf{"global_key": "a", "text": "one"}\r',
            b"",
            b"{broken",
            b'{"global_key": "b", "text": "tw\xff"}',
            b'{"global_key": "c", "text": "\\u0000"}',
            b'{"global_key": "c", "text": "' + b"x" * (7 * 1024 * 1024) + b'"}',
            b'{"global_key": "d", "text": "\\ud83d\\ude00 and more"}',
            b'{"global_key": "a", "text": "one"}',
            b'{"global_key": "e", "text": "last", "metadata": {"n": Infinity}}',
            b'{"global_key": "g", "text": "x", "metadata": {"n": 1180591620717411303424}}',
            b'{"global_key": "h", "text": "x", "metadata": {"n": ' + b"[" * 254 + b"]" * 254 + b"}}",
            b'{"global_key": "i", "text": "x", "metadata": {"n": ' + b"9" * 400 + b".0}}",
            b'{"global_key": "f", "text": "no newline"}',
        ]
    )
    found = await send_lines(admin, texts, content)
    assert [(one["line"], one["status"], (one["error"] or {}).get("code")) for one in found] == [
        (1, "created", None),
        (3, "failed", "malformed_json"),
        (4, "failed", "invalid_utf8"),
        (5, "failed", "unsupported_character"),
        (6, "failed", "line_too_long"),
        (7, "created", None),
        (8, "unchanged", None),
        (9, "failed", "not_a_number"),
        (10, "failed", "unsupported_metadata"),
        (11, "failed", "unsupported_metadata"),
        (12, "failed", "not_a_number"),
        (13, "created", None),
    ]
    assert found[6]["id"] == found[0]["id"]
    row = (await admin.get(f"/v1/data-rows/{found[5]['id']}")).json()
    assert (row["length"], row["byte_size"], row["mime_type"], row["uri"]) == (10, 13, "text/plain", None)
    content_of = await admin.get(row["content_url"])
    assert content_of.text == "\U0001f600 and more"
    assert content_of.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert content_of.headers["etag"] == f'"{row["sha256"]}"'


async def test_metadata_is_the_same_whatever_postgresql_makes_of_its_numbers(
    admin: httpx2.AsyncClient, texts: str
) -> None:
    def sent(number: str) -> bytes:
        return b'{"items": [{"global_key": "a", "text": "x", "metadata": {"a": [%s], "b": true}}]}' % number.encode()

    headers = {"Content-Type": "application/json"}
    found = []
    for number in ("1e23", "1e23", "100000000000000000000000.0", "1e22"):
        answer = await admin.post(f"{texts}/data-rows", content=sent(number), headers=headers)
        found.append(answer.json()["results"][0]["status"])
    assert found == ["created", "unchanged", "unchanged", "failed"]


async def test_json_is_utf_8(admin: httpx2.AsyncClient) -> None:
    body = '{"name": "\\ud800", "media_type": "image"}'.encode("utf-16")
    answer = await admin.post("/v1/projects", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_an_upload_of_too_many_files_ends_early(
    admin: httpx2.AsyncClient, texts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.data_rows.uploads.MAX_FILES", 3)
    files = [("file", (f"{n}.txt", b"text")) for n in range(5)]
    answer = await admin.post(f"{texts}/data-rows/upload", files=files)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (413, "too_many_files")
    assert len((await admin.get(f"{texts}/data-rows")).json()["items"]) == 3
    answer = await admin.post(f"{texts}/data-rows/upload", data={str(n): "x" for n in range(7)}, files=files[:1])
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (413, "too_many_fields")


async def test_long_stream_is_stored_in_parts(admin: httpx2.AsyncClient, texts: str) -> None:
    content = b"".join(b'{"global_key": "%d", "text": "%d"}\n' % (n, n) for n in range(2 * LINES_A_PART + 201))
    found = await send_lines(admin, texts, content)
    assert [one["line"] for one in found] == list(range(1, 2 * LINES_A_PART + 202))
    assert {one["status"] for one in found} == {"created"}
    assert {one["status"] for one in await send_lines(admin, texts, content)} == {"unchanged"}
    events = (await admin.get(f"{texts}/events")).json()["items"]
    assert [one["event"]["data"]["created"] for one in events[1:]] == [LINES_A_PART, LINES_A_PART, 201]


async def test_two_imports_of_the_same_rows_at_once(admin: httpx2.AsyncClient, texts: str) -> None:
    forth = [{"global_key": str(n), "text": str(n)} for n in range(300)]
    answers = await asyncio.gather(
        *(admin.post(f"{texts}/data-rows", json={"items": items}) for items in (forth, forth[::-1]) * 3)
    )
    counts = [answer.json() for answer in answers]
    assert sum(count["created"] for count in counts) == 300
    assert sum(count["failed"] for count in counts) == 0


async def test_upload_checks_headers_and_keeps_bytes(
    admin: httpx2.AsyncClient, viewer: httpx2.AsyncClient, images: str
) -> None:
    turned, broken_pixels = picture(40, 30, orientation=6), picture(50, 50, "PNG")[:-40]
    files = [
        ("file", ("a.jpg", picture(), "image/jpeg")),
        ("file", ("turned.jpg", turned, "application/octet-stream")),
        ("file", ("pixels.png", broken_pixels, "image/png")),
        ("file", ("notes.txt", b"words", "text/plain")),
        ("file", ("bomb.png", bomb(), "image/png")),
        ("file", ("empty.jpg", b"", "image/jpeg")),
        ("file", ("a.jpg", picture(), "image/jpeg")),
        ("file", ("a.jpg", turned, "image/jpeg")),
    ]
    found = (await admin.post(f"{images}/data-rows/upload", files=files)).json()
    assert [(one["global_key"], one["status"], (one["error"] or {}).get("code")) for one in found["results"]] == [
        ("a.jpg", "created", None),
        ("turned.jpg", "created", None),
        ("pixels.png", "created", None),
        ("notes.txt", "failed", "not_an_image"),
        ("bomb.png", "failed", "image_too_large"),
        ("empty.jpg", "failed", "not_an_image"),
        ("a.jpg", "unchanged", None),
        ("a.jpg", "failed", "global_key_taken"),
    ]
    row = (await admin.get(f"/v1/data-rows/{found['results'][1]['id']}")).json()
    assert (row["width"], row["height"], row["mime_type"]) == (30, 40, "image/jpeg")
    content = await viewer.get(row["content_url"])
    assert content.content == turned
    assert (content.headers["content-type"], content.headers["x-content-type-options"]) == ("image/jpeg", "nosniff")

    again = (await admin.post(f"{images}/data-rows/upload", files=files[:3])).json()
    assert {one["status"] for one in again["results"]} == {"unchanged"}


async def test_upload_takes_keys_and_texts_and_limits_each_file(
    api: Api, admin: httpx2.AsyncClient, texts: str
) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="global_key"\r\n\r\nmail/1\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="one.txt"\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="two.txt"\r\n\r\n\xff\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="big.txt"\r\n\r\n' + b"y" * 60_000_000 + b"\r\n"
        b"--x--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    found = (await admin.post(f"{texts}/data-rows/upload", content=body, headers=headers)).json()
    assert [(one["global_key"], (one["error"] or {}).get("code")) for one in found["results"]] == [
        ("mail/1", None),
        ("two.txt", "invalid_utf8"),
        ("big.txt", "content_too_large"),
    ]
    for wrong, status in ((body[:200], 400), (b"--x--\r\n", 400), (b"no multipart", 400)):
        assert (await admin.post(f"{texts}/data-rows/upload", content=wrong, headers=headers)).status_code == status, (
            wrong
        )
    assert (await admin.post(f"{texts}/data-rows/upload", json={})).status_code == 415


async def test_content_at_another_host_is_redirected_to(admin: httpx2.AsyncClient, images: str) -> None:
    item = {"global_key": "a", "uri": "https://images.example.org/a.jpg"}
    made = (await admin.post(f"{images}/data-rows", json={"items": [item]})).json()["results"][0]
    answer = await admin.get(f"/v1/data-rows/{made['id']}/content")
    assert (answer.status_code, answer.headers["location"]) == (307, item["uri"])


async def test_object_that_is_gone_is_404(admin: httpx2.AsyncClient, workspace: Workspace, images: str) -> None:
    item = {"global_key": "a", "uri": f"store://{workspace.id}/data-rows/nothing"}
    made = (await admin.post(f"{images}/data-rows", json={"items": [item]})).json()["results"][0]
    answer = await admin.get(f"/v1/data-rows/{made['id']}/content")
    assert (answer.status_code, answer.json()["code"]) == (404, "content_not_found")


async def test_pages_give_every_row_once_and_tokens_only_fit_their_list(
    api: Api, elsewhere: Workspace, admin: httpx2.AsyncClient, texts: str, images: str
) -> None:
    await send_lines(admin, texts, b"".join(b'{"global_key": "%d", "text": "x"}\n' % n for n in range(57)))
    path, keys, token = f"{texts}/data-rows", [], None
    while True:
        page = (await admin.get(path, params={"page_size": 10, **({"page_token": token} if token else {})})).json()
        keys += [row["global_key"] for row in page["items"]]
        if page["next_page_token"] is None:
            break
        token = page["next_page_token"]
    assert keys == [str(n) for n in range(57)]

    assert len((await admin.get(path, params={"page_size": 0})).json()["items"]) == 1
    assert len((await admin.get(path, params={"page_size": 10_000})).json()["items"]) == 57
    assert (await admin.get(path, params={"page_size": "x"})).status_code == 422
    wrong: list[tuple[httpx2.AsyncClient, str, dict[str, str]]] = [
        (admin, path, {"page_token": f"{token}x"}),
        (admin, path, {"page_token": ""}),
        (admin, path, {"page_token": str(token), "global_key": "1"}),
        (admin, f"{images}/data-rows", {"page_token": str(token)}),
        (api.as_(elsewhere), "/v1/projects", {"page_token": str(token)}),
    ]
    for client, where, params in wrong:
        answer = await client.get(where, params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_page_token")
    assert [row["global_key"] for row in (await admin.get(path, params={"global_key": "7"})).json()["items"]] == ["7"]


async def test_batches_hold_named_or_all_rows(admin: httpx2.AsyncClient, texts: str, images: str) -> None:
    rows = await send_lines(admin, texts, b"".join(b'{"global_key": "%d", "text": "x"}\n' % n for n in range(5)))
    ids = [row["id"] for row in rows]
    empty = await admin.post(f"{images}/batches", json={"name": "b", "all": True})
    assert (empty.status_code, empty.json()["code"]) == (422, "no_data_rows")

    whole = await admin.post(f"{texts}/batches", json={"name": "whole", "all": True})
    assert (whole.status_code, whole.json()["size"], whole.json()["priority"]) == (201, 5, 3)
    some = (
        await admin.post(
            f"{texts}/batches", json={"name": "some", "data_row_ids": [ids[0], ids[2], ids[0]], "priority": 1}
        )
    ).json()
    assert some["size"] == 2
    assert (await admin.get(f"/v1/batches/{some['id']}")).json() == some
    listed = (await admin.get(f"{texts}/data-rows", params={"batch_id": some["id"]})).json()["items"]
    assert [row["id"] for row in listed] == [ids[0], ids[2]]

    taken = await admin.post(f"{texts}/batches", json={"name": "some", "all": True})
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    strangers = [ids[0], str(uuid4()), ids[1], str(uuid4())]
    unknown = await admin.post(f"{texts}/batches", json={"name": "c", "data_row_ids": strangers})
    assert [error["pointer"] for error in unknown.json()["errors"]] == ["/data_row_ids/1", "/data_row_ids/3"]
    for wrong in ({"name": "c"}, {"name": "c", "all": True, "data_row_ids": ids}, {"name": "c", "all": False}):
        assert (await admin.post(f"{texts}/batches", json=wrong)).status_code == 422
    assert (await admin.post(f"{texts}/batches", json={"name": "c", "all": True, "priority": 6})).status_code == 422
    names = [batch["name"] for batch in (await admin.get(f"{texts}/batches")).json()["items"]]
    assert names == ["whole", "some"]


async def test_only_editors_import(api: Api, workspace: Workspace, texts: str) -> None:
    labeler = api.as_(workspace, Role.LABELER)
    for path in ("data-rows", "data-rows/upload", "batches"):
        assert (await labeler.post(f"{texts}/{path}", json={"name": "b", "all": True})).status_code == 403
