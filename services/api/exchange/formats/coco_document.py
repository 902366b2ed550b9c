"""A COCO document read in passes, one array after the other; what grows with it lies in a temporary database."""

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import ijson

from services.api.exchange.formats.base import Piece, Refusal, Refused, RowReference, UnusableUpload

_MOST_CATEGORIES = 100_000
_LONGEST_KEY = 500
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Category:
    name: str
    keypoints: tuple[str, ...] = ()


class CocoDocument:
    """Either `{"images", "annotations", "categories"}`, in any order, or an array of results.

    Results alone have no names: in them `image_id` is a global key and `category_id` the name of a class.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._folder = tempfile.TemporaryDirectory()
        # Pieces are read one after the other, but each in whatever thread is free.
        images = Path(self._folder.name) / "images"
        self._images = sqlite3.connect(images, isolation_level=None, check_same_thread=False)
        # Nothing of it outlives the upload, so nothing is gained by writing it safely.
        self._images.execute("PRAGMA journal_mode = OFF")
        self._images.execute("PRAGMA synchronous = OFF")
        self._images.execute("CREATE TABLE images (id TEXT PRIMARY KEY, global_key TEXT NOT NULL) WITHOUT ROWID")
        self._categories: dict[str, Category] = {}
        self._are_results = False

    def __enter__(self) -> Self:
        self._file.seek(0)
        self._are_results = self._file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
        if not self._are_results:
            for _, raw in self._items("categories.item"):
                self._learn(raw)
        return self

    def __exit__(self, *error: object) -> None:
        self._images.close()
        self._folder.cleanup()

    def images(self) -> Iterator[Piece | Refusal]:
        """One piece without records an image, which says that the data row is part of the upload."""
        if self._are_results:
            return
        for index, raw in self._items("images.item"):
            place = f"/images/{index}"
            try:
                yield Piece(place, self._remember(raw), None)
            except Refused as refused:
                yield Refusal(place, refused)

    def annotations(self) -> Iterator[tuple[str, Any]]:
        prefix, pointer = ("item", "") if self._are_results else ("annotations.item", "/annotations")
        for index, raw in self._items(prefix):
            yield f"{pointer}/{index}", raw

    def image(self, image_id: Any) -> RowReference:
        """After `images` has ended. Raises Refused."""
        if self._are_results:
            return RowReference(global_key=_key(image_id, "/image_id", _RESULTS))
        found = self._images.execute("SELECT global_key FROM images WHERE id = ?", (_name(image_id),)).fetchone()
        if found is None:
            raise Refused("unknown_image", f"there is no image {str(image_id)[:100]!r}", "/image_id")
        return RowReference(global_key=found[0])

    def category(self, category_id: Any) -> Category:
        if self._are_results:
            return Category(_key(category_id, "/category_id", _RESULTS))
        found = self._categories.get(_name(category_id))
        if found is None:
            raise Refused("unknown_category", f"there is no category {str(category_id)[:100]!r}", "/category_id")
        return found

    def _learn(self, raw: Any) -> None:
        if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
            raise UnusableUpload("invalid_category", "each category needs an id and a name")
        if len(self._categories) >= _MOST_CATEGORIES:
            raise UnusableUpload("too_many_categories", f"at most {_MOST_CATEGORIES} categories are read")
        names = raw.get("keypoints")
        keypoints = tuple(str(one)[:200] for one in names if one) if isinstance(names, list) else ()
        self._categories[_name(raw.get("id"))] = Category(raw["name"], keypoints)

    def _remember(self, raw: Any) -> RowReference:
        if not isinstance(raw, Mapping):
            raise Refused("not_an_object", "this should be an object")
        key = _key(raw.get("file_name"), "/file_name", "an image needs a file_name: the global key of its data row")
        added = self._images.execute("INSERT OR IGNORE INTO images VALUES (?, ?)", (_name(raw.get("id")), key))
        if not added.rowcount:
            raise Refused("repeated_image", f"another image has the id {str(raw.get('id'))[:100]!r}", "/id")
        return RowReference(global_key=key)

    def _items(self, prefix: str) -> Iterator[tuple[int, Any]]:
        self._file.seek(0)
        try:
            yield from enumerate(ijson.items(self._file, prefix, use_float=True))
        except ijson.JSONError as error:
            raise UnusableUpload(
                "malformed_json", f"the document is not JSON: {str(error).splitlines()[0]}"[:300]
            ) from None
        except UnicodeDecodeError:
            raise UnusableUpload("malformed_json", "the document is not UTF-8") from None


_RESULTS = (
    "results alone name nothing: send them as the annotations of their document with its images and categories, "
    "or write the global key and the name of the class here"
)


def _name(value: Any) -> str:
    """An id of whatever type: 7 and 7.0 are the same, 7 and "7" too."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _key(value: Any, pointer: str, detail: str) -> str:
    if not isinstance(value, str) or not value:
        raise Refused("name_missing", detail, pointer)
    if len(value) > _LONGEST_KEY:
        raise Refused("name_too_long", f"a name has at most {_LONGEST_KEY} characters", pointer)
    return value
