"""Keeps Triton at the wanted set of models and the catalog's live state true. One worker at a time does it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select

from services.inference import runs
from services.inference.failures import PartAway
from services.inference.triton import ModelRejected, Triton
from shared.contracts.jobs import Doorbell
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.tables import CatalogModelRow
from shared.database.unit_of_work import UnitOfWork, unit_of_work
from shared.model_card import triton_name
from shared.signals import Signals
from shared.telemetry import logger

_INTERVAL_SECONDS = 1.0
_PAUSE_AFTER_FAILURE_SECONDS = 5.0
_LOCK_KEY = 0x70726C  # any number that nothing else locks

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Live:
    state: str
    reason: str | None


class ModelKeeper:
    """Follows Triton: loads what is missing, says what is ready, stalls and wakes the runs that wait for it."""

    def __init__(self, triton: Triton, sessions: Sessions, signals: Signals, on_wake: Callable[[], None]) -> None:
        self._triton = triton
        self._sessions = sessions
        self._signals = signals
        self._on_wake = on_wake
        self._loading: set[asyncio.Task[None]] = set()
        self._busy: set[str] = set()

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._look()
            except DATABASE_ERRORS as error:
                log.warning("model_watch_failed", error=type(error).__name__)
            await asyncio.sleep(_INTERVAL_SECONDS)

    def mend(self, model: str) -> None:
        """Load a model anew that says ready but cannot answer."""
        self._begin(model, self._triton.reload)

    async def _look(self) -> None:
        try:
            states = await self._triton.states()
            away = None
        except (PartAway, ModelRejected) as error:
            states, away = {}, _Live("unavailable", f"Triton does not answer: {error}"[:300])
        async with unit_of_work(self._sessions, self._signals, "service:inference") as work:
            if not await work.session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK_KEY))):
                return
            await self._update(work, states, away)
            woken = await runs.follow_models(work)
            if woken:  # workers of the other purpose too
                work.ring(Doorbell.RUNS)
                work.ring(Doorbell.PREVIEWS)
        if woken:
            self._on_wake()

    async def _update(self, work: UnitOfWork, states: dict[str, tuple[str, str]], away: _Live | None) -> None:
        for model in await work.session.scalars(select(CatalogModelRow).order_by(CatalogModelRow.id)):
            name = triton_name(model.slug, model.digest)
            live = away or self._live(name, states.get(name))
            if (model.state, model.state_reason) != (live.state, live.reason):
                model.state, model.state_reason = live.state, live.reason
                model.state_changed_at = datetime.now(UTC)
                log.info("model_state", model=name, state=live.state, reason=live.reason)

    def _live(self, name: str, found: tuple[str, str] | None) -> _Live:
        if name in self._busy:
            return _Live("loading", None)
        if found is None:
            return _Live("unavailable", "the model is not in Triton's repository")
        state, reason = found
        if state == "READY":
            return _Live("ready", None)
        if state == "UNAVAILABLE":
            self._begin(name, self._triton.load)
        return _Live("loading" if state == "LOADING" else "unavailable", reason or None)

    def _begin(self, model: str, load: Callable[[str], Awaitable[None]]) -> None:
        if model in self._busy:
            return
        self._busy.add(model)
        task = asyncio.create_task(self._load(model, load))
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)

    async def _load(self, model: str, load: Callable[[str], Awaitable[None]]) -> None:
        try:
            await load(model)
        except (PartAway, ModelRejected) as error:
            log.warning("model_not_loaded", model=model, reason=str(error)[:300])
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
        finally:
            self._busy.discard(model)
