"""Everything at once."""

from tests.faults.trial import Trial


async def killed(trial: Trial) -> None:
    """All services and all servers, as when the machine loses its power."""
    attempt = await trial.begin()
    await trial.moment()
    await trial.faults.kill_everything()
    await trial.goes_on(attempt, "everything", limit=15)
    await trial.completed(attempt)
