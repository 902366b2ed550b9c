"""Whoever once held a segment may write for it: neither generation nor state are looked at."""

from services.inference import segments


def apply() -> None:
    segments._LOCK = "SELECT 1 FROM segments WHERE id = $1 AND $2::int > 0 FOR UPDATE"
