"""Everything that is locked declares a license, and none of them is forbidden."""

import pytest

from tests.support.licenses import LOCKS, PAGE, findings, licenses, locked, page

_EVERY_LOCK = [lock for locks in LOCKS.values() for lock in locks]


@pytest.mark.parametrize("lock", _EVERY_LOCK)
def test_every_package_has_a_license_that_is_allowed(lock: str) -> None:
    names = locked(lock)
    assert names, "something is locked"
    assert list(findings(names, licenses())) == []


def test_the_page_is_that_of_what_is_locked() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.support.licenses`"


def test_what_is_wrong_is_found() -> None:
    known = {"a": "MIT", "b": "", "c": "AGPL-3.0-only", "d": "GNU Affero General Public License v3"}
    assert [one.split()[0] for one in findings(["a", "b", "c", "d", "e"], known)] == ["b", "c", "d", "e"]
