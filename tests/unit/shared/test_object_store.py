"""Objects by key: what is there is found again, and no key leads anywhere else or is tried for ever."""

from pathlib import Path

import pytest

from shared.errors import NotFound, TooLarge, Unavailable
from shared.object_store import ObjectStore, content_key, key_of, uri_of


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    (tmp_path / "secret").write_text("secret")
    return ObjectStore(f"file://{tmp_path / 'objects'}")


async def test_what_is_put_is_found_again(store: ObjectStore) -> None:
    uri = await store.put("workspace/data-rows/a", b"bytes")
    assert uri == "store://workspace/data-rows/a"
    assert await store.get(key_of(uri) or "", 100) == b"bytes"
    assert await store.get("workspace/data-rows/a", 5) == b"bytes"


async def test_a_key_names_its_content_so_the_first_stays(store: ObjectStore) -> None:
    await store.put("w/a", b"first")
    assert await store.put("w/a", b"again") == uri_of("w/a")
    assert await store.get("w/a", 100) == b"first"


async def test_no_more_is_read_than_asked_for(store: ObjectStore) -> None:
    await store.put("w/a", b"bytes")
    with pytest.raises(TooLarge) as refused:
        await store.get("w/a", 4)
    assert refused.value.code == "content_too_large"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "w",
        "w/b",
        "../secret",
        "w/../../secret",
        "/secret",
        "w//a",
        "w/%2e%2e/secret",
        "w/\0",
        "x" * 300,
        "x/" * 900,
    ],
)
async def test_other_keys_have_no_object(store: ObjectStore, key: str) -> None:
    await store.put("w/a", b"bytes")
    with pytest.raises(NotFound) as missing:
        await store.get(key, 100)
    assert missing.value.code == "content_not_found"


async def test_a_store_that_takes_nothing_is_unavailable(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "objects" / "w").write_text("a file where a folder should be")
    with pytest.raises(Unavailable):
        await store.put("w/a", b"bytes")


async def test_a_store_that_is_gone_is_unavailable_and_not_empty(store: ObjectStore, tmp_path: Path) -> None:
    await store.put("w/a", b"bytes")
    (tmp_path / "objects").rename(tmp_path / "elsewhere")
    for asked in (store.get("w/a", 100), store.check()):
        with pytest.raises(Unavailable, match="its folder is gone"):
            await asked
    (tmp_path / "elsewhere").rename(tmp_path / "objects")
    await store.check()
    assert await store.get("w/a", 100) == b"bytes"


def test_only_our_scheme_has_keys() -> None:
    assert key_of("https://example.org/a") is None
    assert key_of("STORE://a") is None
    assert key_of(uri_of(content_key("w", "ab"))) == "w/data-rows/ab"
