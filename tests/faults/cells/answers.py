"""Answers of Triton that are none: each row that spoils its batch fails alone, and says how."""

import grpc

from tests.faults.arena import ELSEWHERE
from tests.faults.trial import Trial
from tests.support.faulty_triton import SPOILS, refusing


async def spoiled(trial: Trial) -> None:
    """A row for each way to answer wrongly, in one run. Nothing is paired by position: the others have their own."""
    marks = {f"#{name}#": spoil for name, spoil in SPOILS.items()}
    trial.faulty.spoils = {mark.encode(): spoil for mark, spoil in marks.items()}
    attempt = await trial.begin(rows=200, model=ELSEWHERE, marks=list(marks))
    await trial.completed(attempt, failed=dict.fromkeys(marks, "bad_model_output"))
    for text, row in (await trial.outcomes(attempt)).items():
        if row["state"] == "failed" and (row["stage"] != "output" or not 1 < row["attempts"] <= 5):
            trial.wrong(f"{text!r} failed at {row['stage']} after {row['attempts']} attempts")
    _expect_injected(trial, len(marks))
    trial.faulty.heal()


async def refused(trial: Trial) -> None:
    """Triton refuses every batch with a certain row, and for a while whatever it is asked."""
    trial.faulty.before = refusing(grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", mark=b"#refused#")
    attempt = await trial.begin(rows=200, model=ELSEWHERE, marks=["#refused#"])
    await trial.completed(attempt, failed={"#refused#": "model_rejected"})
    _expect_injected(trial, 1)
    trial.faulty.heal()


async def unavailable_for_a_while(trial: Trial) -> None:
    """What may heal is asked again and blames no row, whichever status it has."""
    status = trial.random.choice(
        (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND)
    )
    attempt = await trial.begin(rows=200, model=ELSEWHERE)
    await trial.moment(1.0)
    trial.faulty.before = refusing(status, "no available versions", batches=trial.random.randint(5, 40))
    await trial.completed(attempt)
    _expect_injected(trial, 1)
    trial.faulty.heal()


def _expect_injected(trial: Trial, least: int) -> None:
    trial.note(f"{trial.faulty.injected} answers of Triton spoiled or refused")
    if trial.faulty.injected < least:
        trial.wrong(f"only {trial.faulty.injected} answers were spoiled")
