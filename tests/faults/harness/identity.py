"""Which process a connection to PostgreSQL belongs to, for the audit: `prelabel-inference/4711` is its name there."""

import os
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database import engine
from shared.settings import SharedSettings


def name_connections() -> None:
    """From now on, in this process."""
    original = engine.create_engine

    def create_engine(settings: SharedSettings, application_name: str, **options: Any) -> AsyncEngine:
        return original(settings, f"{application_name}/{os.getpid()}", **options)

    engine.create_engine = create_engine
