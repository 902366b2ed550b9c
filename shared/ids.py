"""Identifiers: UUIDv7, so that primary keys sort by the time they were made."""

from uuid import UUID

from uuid_utils.compat import uuid7

__all__ = ["UUID", "new_id"]


def new_id() -> UUID:
    return uuid7()
