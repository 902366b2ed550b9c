"""When two results are equal: made by the same recipe from the same content."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what a model says of a content.

    `digest` covers weights and card, and with it the preprocessing and the parameters of the decoder; `processing` is
    the version of the code that does both.
    """

    digest: str
    processing: str
    floor: float
    criteria: Mapping[str, str] = field(default_factory=dict)

    def key(self) -> bytes:
        """32 bytes, so that a fingerprint costs the same whatever the criteria."""
        what = [self.digest, self.processing, float(self.floor), dict(self.criteria)]
        return hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).digest()


def fingerprint(recipe_key: bytes, content_sha256: bytes) -> bytes:
    """In SQL: `sha256(recipe_key || sha256)`."""
    return hashlib.sha256(recipe_key + content_sha256).digest()
