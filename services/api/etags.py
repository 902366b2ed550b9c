"""ETags are revisions: a client that changes something says which revision it read."""

import re

from shared.errors import PreconditionFailed, PreconditionRequired

_OURS = re.compile(r'"(0|[1-9][0-9]{0,9})"')


def etag(revision: int) -> str:
    return f'"{revision}"'


def read_if_match(header: str | None) -> int:
    """The revision in an If-Match header. Raises PreconditionRequired, or PreconditionFailed for one not of ours."""
    if header is None:
        raise PreconditionRequired("send the ETag of what you read as If-Match")
    found = _OURS.fullmatch(header.strip())
    if found is None:
        raise PreconditionFailed(f"If-Match is not an ETag of ours, which look like {etag(7)}")
    return int(found[1])


def check_revision(expected: int, actual: int) -> None:
    if expected != actual:
        raise PreconditionFailed(
            f"it is at revision {actual}, not {expected}; read it again", extra={"current_etag": etag(actual)}
        )
