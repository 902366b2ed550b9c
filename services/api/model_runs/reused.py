"""How many of a run's data rows have a result already, so that their run will copy it."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs import queries
from services.api.model_runs.submission import Submission
from shared.database.known_results import Question, count_known
from shared.fingerprint import Recipe

MOST_LOOKED_AT = 5_000


async def count_reused(session: AsyncSession, submission: Submission, rows: int) -> int:
    """Of so many rows to do. Where they are many, every so many-th is looked at."""
    model, card = submission.basis.model, submission.basis.ground.card
    if model.processing is None or model.served_at is not None:
        return 0
    recipe = Recipe(model.digest, model.processing, card.floor, submission.asked.aligning.criteria)
    looked_at = await queries.list_every(session, submission.selection, step=-(-rows // MOST_LOOKED_AT))
    workspace_id = submission.basis.project.workspace_id
    if not looked_at:  # they went meanwhile
        return 0
    known = await count_known(session, Question(workspace_id, model.id, recipe.key(), looked_at))
    return round(known / len(looked_at) * rows)
