"""Keeps Triton at the wanted set of models and the catalog's live state true. One worker at a time does it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import func, or_, select, update

from services.inference import runs
from services.inference.failures import ModelRejected, PartAway
from services.inference.machinery import Machinery
from services.inference.own_models import DeadModel, OwnModels
from services.inference.recipe import note_processing
from services.inference.replicas import Replicas, States
from services.inference.reports import ModelState
from services.inference.silence import Silence
from services.inference.triton import Triton
from services.inference.watch import ForeignWatch, StoreWatch
from shared.contracts.jobs import Doorbell
from shared.database.engine import DATABASE_ERRORS
from shared.database.model_registrations import FAILED, REGISTERING
from shared.database.tables import CatalogModelRow
from shared.database.unit_of_work import UnitOfWork, unit_of_work
from shared.model_card import triton_name
from shared.served_at import ServedAt
from shared.signals import Signals
from shared.telemetry import logger

_INTERVAL_SECONDS = 1.0
_PAUSE_AFTER_FAILURE_SECONDS = 5.0
_OF_ANOTHER = timedelta(seconds=10)
_EVERY_LANE = 16
_UNLOADING = "Triton is unloading the model"
_LOCK_KEY = 0x70726C  # any number that nothing else locks
_WORST_LAST = ("ready", "loading", "unavailable")
_NOT_LOADED: tuple[type[Exception], ...] = (PartAway, ModelRejected, *DATABASE_ERRORS)

log = logger(__name__)

Load = Callable[[Triton], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Live:
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """A model that is to be there, without its card."""

    model_id: UUID
    own: bool
    slug: str
    digest: str
    state: str
    state_reason: str | None
    state_changed_at: datetime
    served_at: ServedAt | None

    @property
    def name(self) -> str:
        return triton_name(self.slug, self.digest)

    def begun_by_another(self) -> bool:
        """Another worker loads it; if that one died, this one begins a little later."""
        return self.state == "loading" and datetime.now(UTC) - self.state_changed_at < _OF_ANOTHER

    def unloads_for_longer_than(self, time: timedelta) -> bool:
        """By the catalog, so that it does not matter which worker looks."""
        return self.state_reason == _UNLOADING and datetime.now(UTC) - self.state_changed_at > time


@dataclass(frozen=True, slots=True)
class _Place:
    """A model on one replica, and what that says of it."""

    address: str
    found: ModelState | None

    def of(self, model: _Kept) -> tuple[str, str]:
        return self.address, model.name


class ModelKeeper:
    """Follows Triton: loads what is missing, says what is ready, stalls and wakes the runs that wait for it.

    On every replica of it; models of one's own come out of the object store, since no repository has them.
    """

    def __init__(self, machinery: Machinery, signals: Signals, on_wake: Callable[[], None]) -> None:
        settings = machinery.settings
        self.replicas = Replicas(machinery.triton, settings.triton_url, settings.inference_deadline_seconds)
        self._sessions = machinery.sessions
        self._signals = signals
        self._on_wake = on_wake
        self._own = OwnModels(machinery.sessions, machinery.store, self.replicas, settings.model_load_seconds)
        self._foreign = ForeignWatch(machinery.servers)
        self._store = StoreWatch(machinery.store)
        self._longest_call = timedelta(seconds=settings.inference_deadline_seconds)
        self._loading: set[asyncio.Task[None]] = set()
        self._busy: set[tuple[str, str]] = set()
        self._refused: dict[tuple[str, str], str] = {}
        self._broken: set[str] = set()
        self._silence = Silence(settings.inference_deadline_seconds)
        self._noted: frozenset[UUID] = frozenset()

    async def keep(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    await self._look()
                except DATABASE_ERRORS as error:
                    log.warning("model_watch_failed", error=type(error).__name__)
                await asyncio.sleep(_INTERVAL_SECONDS)
        finally:
            self._store.rest()
            await self._foreign.rest()
            await self.replicas.close()

    def mend(self, model: str) -> None:
        """Load a model anew that says ready but cannot answer."""
        self._broken.add(model)

    def mend_if_silent(self, model: str) -> None:
        """For a worker whose patience is over: when the model has answered nobody for as long as a call may take."""
        if self._silence.is_too_long(model):
            log.warning("model_silent", model=model)
            self.mend(model)

    async def _look(self) -> None:
        states: Mapping[str, States] = {}
        away = None
        try:
            states = await self.replicas.states()
        except PartAway as error:
            away = _Live("unavailable", f"Triton does not answer: {error}"[:300])
        self._silence.note(states)
        async with unit_of_work(self._sessions, self._signals, "service:inference") as work:
            if not await work.session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK_KEY))):
                return
            await self._update(work, states, away)
            self._own.clean(await _dead(work), states)
            noted = await note_processing(work.session, self._noted)
            woken = await self._follow(work)
            if woken:  # workers of the other purpose too
                work.ring(Doorbell.RUNS, _EVERY_LANE)
                work.ring(Doorbell.PREVIEWS, _EVERY_LANE)
        self._noted |= noted
        if woken:
            self._on_wake()

    async def _follow(self, work: UnitOfWork) -> bool:
        """True when runs woke. Mostly there are none, and then a look costs lanes little of their time."""
        if not await runs.are_open(work):
            self._store.rest()
            return False
        return await runs.follow_models(work) | await self._follow_store(work)

    async def _follow_store(self, work: UnitOfWork) -> bool:
        """True when runs woke that the object store had stalled."""
        waiting = await runs.waits_for_store(work)
        if not waiting:
            self._store.rest()
        elif self._store.answers():
            for model_run_id in waiting:
                await runs.wake(work, model_run_id)
            return True
        return False

    async def _update(self, work: UnitOfWork, states: Mapping[str, States], away: _Live | None) -> None:
        for model in await _kept(work):
            live = self._of_others(model.served_at) if model.served_at else away or self._everywhere(model, states)
            if live is not None and (model.state, model.state_reason) != (live.state, live.reason):
                changed = {"state": live.state, "state_reason": live.reason, "state_changed_at": datetime.now(UTC)}
                # Not one that somebody has begun to register or removed meanwhile.
                same = update(CatalogModelRow).where(
                    CatalogModelRow.id == model.model_id, CatalogModelRow.state == model.state
                )
                await work.session.execute(same.values(**changed))
                log.info("model_state", model=model.slug, state=live.state, reason=live.reason)

    def _of_others(self, where: ServedAt) -> _Live | None:
        """None while it was not asked yet."""
        found = self._foreign.state(where)
        return None if found is None else _Live(*found)

    def _everywhere(self, model: _Kept, states: Mapping[str, States]) -> _Live:
        broken = model.name in self._broken and not model.begun_by_another()
        self._broken.discard(model.name)
        places = [_Place(address, known.get(model.name)) for address, known in states.items()]
        lives = [self._mended(model, place) if broken else self._live(model, place) for place in places]
        return max(lives, key=lambda live: _WORST_LAST.index(live.state))

    def _mended(self, model: _Kept, place: _Place) -> _Live:
        if place.of(model) not in self._busy:
            self._begin(place.of(model), self._own.reloading(model.model_id) if model.own else _reloading(model.name))
        return _Live("loading", None)

    def _live(self, model: _Kept, place: _Place) -> _Live:
        key = place.of(model)
        if key in self._busy:
            return _Live("loading", None)
        if place.found is None and not model.own:
            return _Live("unavailable", "the model is not in Triton's repository")
        state, reason, _ = place.found or ModelState("UNAVAILABLE", self._refused.get(key, ""))
        if state == "UNLOADING":
            return self._while_unloading(model, key)
        if state == "READY":
            self._refused.pop(key, None)
            return _Live("ready", None)
        if state == "UNAVAILABLE" and model.own:
            return self._load_own(model, key, reason)
        if state == "UNAVAILABLE":
            self._begin(key, self._load_of(model))
        return _Live("loading" if state == "LOADING" else "unavailable", reason or None)

    def _load_own(self, model: _Kept, key: tuple[str, str], refused: str) -> _Live:
        if not model.begun_by_another():
            self._begin(key, self._load_of(model))
        return _Live("unavailable", refused) if refused else _Live("loading", None)

    def _while_unloading(self, model: _Kept, key: tuple[str, str]) -> _Live:
        """Triton waits for the calls that the model still has, and for ever when one of them hangs: after the deadline
        of all calls the model is loaded beside what is left of it."""
        if not model.unloads_for_longer_than(self._longest_call):
            return _Live("unavailable", _UNLOADING)
        log.warning("model_hangs", model=model.slug, at=key[0])
        self._begin(key, self._load_of(model))
        return _Live("loading", None)

    def _load_of(self, model: _Kept) -> Load:
        return self._own.loading(model.model_id) if model.own else _loading(model.name)

    def _begin(self, place: tuple[str, str], load: Load) -> None:
        self._busy.add(place)
        task = asyncio.create_task(self._load(place, load))
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)

    async def _load(self, place: tuple[str, str], load: Load) -> None:
        address, model = place
        try:
            replica = (await self.replicas.all()).get(address)
            if replica is not None:
                await load(replica)
        except _NOT_LOADED as error:
            self._refused[place] = str(error)[:300]
            log.warning("model_not_loaded", model=model, at=address, reason=str(error)[:300])
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
        finally:
            self._busy.discard(place)


async def _kept(work: UnitOfWork) -> list[_Kept]:
    row = CatalogModelRow
    found = await work.session.execute(
        select(
            row.id,
            row.workspace_id.is_not(None),
            row.slug,
            row.digest,
            row.state,
            row.state_reason,
            row.state_changed_at,
            row.served_at,
        )
        .where(row.deleted_at.is_(None), row.state.not_in((REGISTERING, FAILED)))
        .order_by(row.id)
    )
    return [_Kept(*one[:7], ServedAt.model_validate(one[7]) if one[7] else None) for one in found]


async def _dead(work: UnitOfWork) -> list[DeadModel]:
    """Those of workspaces whose traces may still be there."""
    row = CatalogModelRow
    found = await work.session.execute(
        select(row.id, row.slug, row.digest, func.coalesce(row.deleted_at, row.state_changed_at), row.cleaned_at)
        .where(
            row.workspace_id.is_not(None),
            or_(row.state == FAILED, row.deleted_at.is_not(None)),
            or_(row.cleaned_at.is_(None), row.cleaned_at > func.now() - func.make_interval(0, 0, 0, 0, 1)),
        )
        .order_by(row.id)
    )
    return [DeadModel(*one) for one in found]


def _loading(name: str) -> Load:
    return lambda replica: replica.load(name)


def _reloading(name: str) -> Load:
    return lambda replica: replica.reload(name)
