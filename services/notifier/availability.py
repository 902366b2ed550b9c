"""One word for a database that cannot answer now, whatever driver and pool call it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.errors import Unavailable


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Raises Unavailable for what may heal; mistakes of ours stay what they are."""
    try:
        yield
    except (ProgrammingError, DataError, IntegrityError):
        raise
    except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
        raise Unavailable(f"the database does not answer: {type(error).__name__}") from error
