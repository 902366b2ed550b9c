"""Whoever once held a segment may write for it: neither generation nor state are looked at."""

from sqlalchemy import text

from services.inference import segments


def apply() -> None:
    segments._LOCK = text("SELECT 1 FROM segments WHERE id = :id AND CAST(:generation AS int) > 0 FOR UPDATE")
