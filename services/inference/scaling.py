"""How much work a purpose has for its workers, as one number: what an autoscaler asks PostgreSQL.

`python -m services.inference.scaling run` asks and says it; `deploy/kubernetes/components/keda` has the same query.
"""

import argparse
import asyncio
import sys
from typing import get_args

from sqlalchemy import text

from shared.contracts.event import RunPurpose
from shared.database.engine import Sessions, create_engine, create_sessions
from shared.settings import SharedSettings

# Segments that a worker could take now, and those that are held: a worker at work is needed.
_QUERY = """
SELECT count(*)
FROM model_runs r
JOIN catalog_models m ON m.id = r.catalog_model_id AND m.state = 'ready'
JOIN segments s ON s.model_run_id = r.id AND s.state IN ('open', 'leased')
WHERE r.state IN ('queued', 'running', 'stalled') AND r.purpose = '{purpose}'
  AND NOT (r.state = 'stalled' AND r.waiting_for = 'object_store')
"""
PURPOSES: tuple[str, ...] = tuple(purpose for purpose in get_args(RunPurpose) if purpose != "import")


def backlog_query(purpose: str) -> str:
    """SQL with nothing to fill in; its one row and column is the number of segments."""
    return _QUERY.format(purpose=purpose).strip()


async def backlog(sessions: Sessions, purpose: str) -> int:
    async with sessions() as session:
        return int((await session.execute(text(backlog_query(purpose)))).scalar_one())


async def _say(purpose: str) -> None:
    engine = create_engine(SharedSettings(), "prelabel-scaling")
    try:
        sys.stdout.write(f"{await backlog(create_sessions(engine), purpose)}\n")
    finally:
        await engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m services.inference.scaling", description=__doc__)
    parser.add_argument("purpose", choices=PURPOSES)
    asyncio.run(_say(parser.parse_args().purpose))
