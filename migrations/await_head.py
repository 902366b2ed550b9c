"""`python -m migrations.await_head [--seconds 600]`: returns once the schema is one that this code can work with.

That is this code's own newest revision, or one it does not know: the schema of a later release, on which the code of
the release before works as well. An older one, or no database yet, is waited for; 1 when it did not come.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

import asyncpg
from alembic.config import Config
from alembic.script import ScriptDirectory

from shared.database.address import for_asyncpg

_ROOT = Path(__file__).resolve().parents[1]
_REVISION = "SELECT version_num FROM alembic_version"
_PAUSE_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_NOT_YET = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


async def await_head(database_url: str, seconds: float) -> bool:
    """False when the time is over. Says what it waits for, once for each reason."""
    deadline, said = time.monotonic() + seconds, ""
    while (waiting := await _waits_for(database_url)) is not None:
        if waiting != said:
            _say(f"waiting: {waiting}")
            said = waiting
        if time.monotonic() > deadline:
            _say(f"gave up after {seconds:.0f} s")
            return False
        await asyncio.sleep(_PAUSE_SECONDS)
    return True


def is_behind(revision: str | None, scripts: ScriptDirectory) -> bool:
    """Whether migrations of this code are still to come."""
    if revision is None:
        return True
    older = {script.revision for script in scripts.walk_revisions()} - set(scripts.get_heads())
    return revision in older


async def _waits_for(database_url: str) -> str | None:
    config = Config()
    config.set_main_option("script_location", str(_ROOT / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    try:
        revision = await _revision(database_url)
    except asyncpg.UndefinedTableError:
        revision = None
    except _NOT_YET as error:
        return f"the database does not answer ({type(error).__name__})"
    return f"the schema is at {revision}, not at {scripts.get_current_head()}" if is_behind(revision, scripts) else None


async def _revision(database_url: str) -> str | None:
    connection = await asyncpg.connect(for_asyncpg(database_url), timeout=_ANSWER_SECONDS)
    try:
        found: str | None = await connection.fetchval(_REVISION, timeout=_ANSWER_SECONDS)
        return found
    finally:
        await connection.close(timeout=_ANSWER_SECONDS)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m migrations.await_head", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    return 0 if asyncio.run(await_head(os.environ["DATABASE_URL"], parser.parse_args().seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
