"""What may happen to Triton and to a model it serves."""

from collections.abc import Awaitable, Callable

from tests.faults.arena import CHANGING, DEADLINE_SECONDS, ELSEWHERE, STEADY
from tests.faults.breaking import OTHER_DIGEST, changed_model, kill_server, until_served
from tests.faults.trial import RETURN_SECONDS, Trial
from tests.support.faulty_triton import late
from tests.support.stand_ins import hang


async def killed(trial: Trial) -> None:
    attempt = await trial.begin()
    await trial.moment()
    await kill_server(trial.told, "triton")
    await trial.goes_on(attempt, "triton")
    await trial.completed(attempt)


async def stopped(trial: Trial) -> None:
    """It takes calls and never answers: the deadline ends them, the run waits, no row is blamed. The model may have
    to be loaded anew, once it is clear that it answers nobody."""
    attempt = await trial.begin()
    await trial.moment(2.5)
    await trial.faults.pause(trial.random.uniform(5, 12), "triton")
    await trial.goes_on(attempt, "triton", 2 * DEADLINE_SECONDS + RETURN_SECONDS)
    await trial.completed(attempt)


async def unloaded(trial: Trial) -> None:
    """The model goes, several times; workers ask for it again."""
    attempt = await trial.begin()
    for _ in range(3):
        await trial.moment(1.5)
        await trial.faults.unload(trial.arena.models[STEADY].triton_name)
    await trial.goes_on(attempt, "the model")
    await trial.completed(attempt)


async def hanging(trial: Trial) -> None:
    """A call hangs in the model, and with it its unloading: workers load the model beside what is left of it."""
    attempt = await trial.begin()
    await trial.moment(1.5)
    trial.note("a call hangs")
    await hang(trial.world.options.models, STEADY)
    await trial.faults.unload(trial.arena.models[STEADY].triton_name)
    await trial.goes_on(attempt, "a model that hangs", DEADLINE_SECONDS + RETURN_SECONDS)
    await trial.completed(attempt)


async def another_version(trial: Trial) -> None:
    """The model comes back as another one under the same name: the run stops and says why, and mixes nothing."""
    await _changed(trial, trial.faults.unload)  # workers ask for what is missing


async def exchanged(trial: Trial) -> None:
    """As before, but from one moment to the next: no call fails between the one version and the other."""
    await _changed(trial, trial.faults.reload)


async def slower_than_the_deadline(trial: Trial) -> None:
    """Some answers come when nobody waits for them any more; they are asked for again."""
    attempt = await trial.begin(rows=200, model=ELSEWHERE)
    await trial.moment(1.0)
    trial.faulty.before = late(DEADLINE_SECONDS + 0.5, batches=trial.random.randint(2, 6))
    await trial.completed(attempt)
    trial.faulty.heal()


async def _changed(trial: Trial, load: Callable[[str], Awaitable[None]]) -> None:
    built, repository = trial.arena.models[CHANGING], trial.world.options.models / "repository"
    attempt = await trial.begin(rows=1200, model=CHANGING)
    await trial.under_way(attempt)
    await trial.moment(2.0)
    with changed_model(repository, built):
        await load(built.triton_name)
        run = await trial.ended(attempt)
        await until_served(trial.told, built, OTHER_DIGEST)
    await load(built.triton_name)
    await until_served(trial.told, built, built.digest)
    if run["state"] != "failed" or "version" not in (run["state_reason"] or ""):
        trial.wrong(f"the run is {run['state']} ({run['state_reason']}), expected failed for another version")
    # The other one says `even` of all: an odd row that is stored as even came from it.
    await trial.check_answers(attempt, {}, whole=False)
