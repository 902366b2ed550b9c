"""What may happen to the notifier and to those who listen to it."""

from tests.faults.trial import Trial


async def killed(trial: Trial) -> None:
    """Three times in one run: who listens comes back from where he was and misses nothing."""
    attempt = await trial.begin()
    for _ in range(3):
        await trial.moment(1.5)
        trial.faults.kill("notifier")
    await trial.completed(attempt)


async def cut_off(trial: Trial) -> None:
    """The sockets break, again and again, each by itself."""
    attempt = await trial.begin()
    for _ in range(8):
        await trial.moment(0.6)
        subscriber = trial.random.choice(trial.told.subscribers)
        trial.note(f"cut {subscriber.name}")
        subscriber.cut()
    await trial.completed(attempt)
