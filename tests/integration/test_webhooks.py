"""Webhooks end to end: made over the api, told by real notifiers, received by a server of the test's own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import delete, insert, select, update
from standardwebhooks.webhooks import WebhookVerificationError

from deploy.local.stack import Addresses
from services.notifier.settings import NotifierSettings
from services.notifier.webhook_deliveries import Patience, WebhookDeliveries
from services.notifier.webhooks import Webhooks
from shared.contracts.events import ModelRunCompleted, ModelRunStarted, ProjectUpdated
from shared.database.tables import EventRow, StreamRow, WebhookCursorRow, WebhookDeliveryRow, WebhookRow
from shared.database.unit_of_work import transaction, unit_of_work
from shared.ids import new_id
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.notifier import NotifierProcess, notifier_environment, running_notifier
from tests.support.receiver import Received, Receiver, Switch, never, receiving, said, status, until

Json = dict[str, Any]
Starter = Callable[..., AbstractContextManager[NotifierProcess]]

_TIMEOUT_SECONDS = 1.5  # where it is what is tested
_QUICK = {
    "ALLOW_PRIVATE_WEBHOOK_HOSTS": "true",
    "WEBHOOK_POLL_SECONDS": "0.1",
    "WEBHOOK_RETRY_SECONDS": "[0.2, 0.2, 0.2]",
    "WEBHOOK_TIMEOUT_SECONDS": "20",
}


@pytest.fixture(scope="module")
def environment(servers: Addresses) -> dict[str, str]:
    return notifier_environment(servers) | _QUICK


@pytest.fixture
def notifying(environment: dict[str, str], tmp_path: Path) -> Starter:
    """Starts a notifier, with other settings by name."""
    return lambda **others: running_notifier({**environment, **others}, tmp_path / f"log-{new_id()}")


@pytest.fixture
async def api(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Api]:
    settings = api_settings(environment["DATABASE_URL"], environment["REDIS_URL"], tmp_path / "objects")
    async with running_api(settings.model_copy(update={"allow_private_webhook_hosts": True})) as api:
        yield api


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@dataclass(frozen=True)
class Site:
    """One workspace with a project."""

    api: Api
    workspace: Workspace
    client: httpx2.AsyncClient
    project_id: UUID

    async def webhook(self, url: str, *event_types: str) -> Json:
        wanted = {"url": url, "event_types": event_types or ["project.updated", "model_run.started"]}
        answer = await self.client.post("/v1/webhooks", json=wanted)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()
        return found

    async def updated(self, *revisions: int) -> None:
        """One transaction each."""
        for revision in revisions:
            async with unit_of_work(self.api.resources.sessions, self.api.resources.signals, "service:test") as work:
                fields: Json = {"workspace_id": self.workspace.id, "project_id": self.project_id}
                work.emit(ProjectUpdated(**fields, revision=revision))

    async def run_events(self, run_id: UUID, *totals: int, ended: bool = False) -> None:
        """Events of one run, told apart by their total."""
        for total in totals:
            counts = dict.fromkeys(("succeeded", "failed", "skipped", "detections"), 0)
            facts: Json = {"workspace_id": self.workspace.id, "project_id": self.project_id, "model_run_id": run_id}
            kind = ModelRunCompleted if ended else ModelRunStarted
            async with unit_of_work(self.api.resources.sessions, self.api.resources.signals, "service:test") as work:
                work.emit(kind(**facts, state="running", execution=1, total=total, **counts))

    async def deliveries(self, webhook: Mapping[str, Any], **filters: str) -> list[Json]:
        answer = await self.client.get(f"/v1/webhooks/{webhook['id']}/deliveries", params=filters)
        assert answer.status_code == 200, answer.text
        found: list[Json] = answer.json()["items"]
        return found

    async def until_ended(self, webhook: Mapping[str, Any], count: int = 1) -> list[Json]:
        """Deliveries, oldest first, once so many have ended and none waits."""
        async with asyncio.timeout(60):
            while True:
                found = (await self.deliveries(webhook))[::-1]
                if len(found) >= count and all(one["state"] != "pending" for one in found):
                    return found
                await asyncio.sleep(0.05)

    async def state(self, webhook: Mapping[str, Any]) -> Json:
        found: Json = (await self.client.get(f"/v1/webhooks/{webhook['id']}")).json()
        return found


async def make_site(api: Api) -> Site:
    workspace = await api.workspace()
    client = api.as_(workspace)
    project = (await client.post("/v1/projects", json={"name": "p", "media_type": "image"})).json()["id"]
    return Site(api, workspace, client, UUID(project))


@pytest.fixture
async def site(api: Api) -> Site:
    return await make_site(api)


async def test_what_is_sent_is_the_logged_event_signed_by_the_standard(
    site: Site, receiver: Receiver, notifying: Starter
) -> None:
    await site.updated(1)
    webhook = await site.webhook(receiver.url, "project.updated")
    await site.updated(2)
    await site.run_events(new_id(), 10)
    with notifying() as notifier:
        await site.updated(3)
        await receiver.until(2)
        first, second = await site.until_ended(webhook, 2)
        assert notifier.metric("prelabel_notifier_webhook_attempts_total") == 2
    assert [one.event["data"]["revision"] for one in receiver.received] == [2, 3], "from its making on, and no others"
    async with site.api.resources.sessions() as session:
        logged = await session.scalars(
            select(EventRow.payload)
            .where(EventRow.stream_id == site.project_id, EventRow.type == "project.updated", EventRow.offset > 2)
            .order_by(EventRow.offset)
        )
    assert [one.body.decode() for one in receiver.received] == list(logged)
    for one, shown in zip(receiver.received, (first, second), strict=True):
        one.verify(webhook["secret"])
        assert one.id == one.event["id"] == shown["event_id"]
        assert (one.method, one.headers["content-type"]) == ("POST", "application/json")
        with pytest.raises(WebhookVerificationError):
            one.verify("whsec_" + "A" * 44)
        assert (shown["state"], shown["attempts"], shown["response_status"]) == ("delivered", 1, 204)
        assert [(made["status"], made["detail"]) for made in shown["tries"]] == [(204, None)]
    detail = await site.client.get(f"/v1/webhooks/{webhook['id']}/deliveries/{first['id']}")
    assert detail.json()["event"]["data"] == receiver.received[0].event["data"]


async def test_one_run_is_told_in_order_while_others_go_on(site: Site, receiver: Receiver, notifying: Starter) -> None:
    unlucky, other = new_id(), new_id()
    refused = 0

    async def refuse_twice(one: Received) -> bytes:
        nonlocal refused
        if one.event["subject"]["id"] == str(unlucky) and one.event["data"]["total"] == 1 and refused < 2:
            refused += 1
            return status(503)
        return status(200)

    receiver.answer = refuse_twice
    webhook = await site.webhook(receiver.url)
    await site.run_events(unlucky, 1, 2, 3)
    await site.run_events(other, 1, 2, 3)
    with notifying():
        ended = await site.until_ended(webhook, 6)
    told = [(one.event["subject"]["id"], one.event["data"]["total"]) for one in receiver.received]
    assert [total for run, total in told if run == str(unlucky)] == [1, 1, 1, 2, 3]
    assert [total for run, total in told if run == str(other)] == [1, 2, 3]
    first = next(one for one in ended if one["attempts"] > 1)
    assert [made["status"] for made in first["tries"]] == [503, 503, 200]
    assert len({one.id for one in receiver.received if one.event["subject"]["id"] == str(unlucky)}) == 3


async def test_what_notifies_is_told_once(site: Site, receiver: Receiver, notifying: Starter) -> None:
    """It lies in two streams: the project's and the workspace's."""
    webhook = await site.webhook(receiver.url, "model_run.completed", "api_key.created")
    await site.run_events(new_id(), 1, 2, ended=True)
    await site.client.post("/v1/api-keys", json={"name": "k"})
    with notifying():
        await site.until_ended(webhook, 3)
        await asyncio.sleep(0.5)
    assert sorted(one.event["type"] for one in receiver.received) == [
        "api_key.created",
        "model_run.completed",
        "model_run.completed",
    ]


async def test_nothing_is_lost_or_out_of_order_when_notifiers_are_killed(
    site: Site, receiver: Receiver, notifying: Starter
) -> None:
    hangs = True

    async def hang_at_the_third(one: Received) -> bytes:
        while hangs and one.event["data"]["total"] == 3:
            await asyncio.sleep(0.02)
        return status(200)

    receiver.answer = hang_at_the_third
    webhook = await site.webhook(receiver.url)
    run = new_id()
    with notifying(WEBHOOK_TIMEOUT_SECONDS="5") as doomed:
        await site.run_events(run, 1, 2, 3, 4, 5)
        await receiver.until(3)
        doomed.kill()
    hangs = False
    await site.run_events(run, 6)
    with notifying(), notifying():
        ended = await site.until_ended(webhook, 6)
    again = [one for one in receiver.received if one.event["data"]["total"] == 3]
    times = len(again)
    assert times > 1, "once by the one that was killed, at least"
    assert {one.id for one in again} == {again[0].id}
    assert [one.event["data"]["total"] for one in receiver.received] == [1, 2, *[3] * times, 4, 5, 6]
    assert [one["attempts"] for one in ended] == [1, 1, times, 1, 1, 1]


async def test_several_notifiers_share_the_work(site: Site, receiver: Receiver, notifying: Starter) -> None:
    webhook = await site.webhook(receiver.url)
    runs = [new_id() for _ in range(8)]
    with notifying() as one, notifying() as two:
        for total in range(1, 6):
            for run in runs:
                await site.run_events(run, total)
        await site.until_ended(webhook, 40)
        attempts = [it.metric("prelabel_notifier_webhook_attempts_total") for it in (one, two)]
    assert sum(attempts) == 40, "each event once: nobody was killed"
    for run in runs:
        totals = [it.event["data"]["total"] for it in receiver.received if it.event["subject"]["id"] == str(run)]
        assert totals == [1, 2, 3, 4, 5]


async def test_a_slow_receiver_delays_no_other(site: Site, receiver: Receiver, notifying: Starter) -> None:
    async with receiving() as slow:
        slow.answer = never
        stuck, quick = await site.webhook(slow.url), await site.webhook(receiver.url)
        for _ in range(12):
            await site.run_events(new_id(), 1)
        with notifying(WEBHOOK_TIMEOUT_SECONDS="20", WEBHOOK_LANES="2", WEBHOOK_MAX_IN_FLIGHT="4"):
            ended = await site.until_ended(quick, 12)
            assert {one["state"] for one in ended} == {"delivered"}
            waiting = await site.deliveries(stuck)
            assert {one["state"] for one in waiting} == {"pending"}
            await slow.until(2)
            assert len(slow.received) == 2, "as many as its lanes"


async def test_a_receiver_that_does_not_answer_costs_an_attempt(
    site: Site, receiver: Receiver, notifying: Starter
) -> None:
    receiver.answer = never
    webhook = await site.webhook(receiver.url)
    await site.updated(1)
    with notifying(WEBHOOK_RETRY_SECONDS="[0.1]", WEBHOOK_TIMEOUT_SECONDS=str(_TIMEOUT_SECONDS)):
        (failed,) = await site.until_ended(webhook)
    assert (failed["state"], failed["attempts"], failed["response_status"]) == ("failed", 2, None)
    assert failed["detail"] == f"no answer within {_TIMEOUT_SECONDS} s"
    assert len(receiver.received) == 2


async def test_private_addresses_are_refused_when_it_connects(
    site: Site, receiver: Receiver, notifying: Starter
) -> None:
    """The name passes; what it leads to does not."""
    port = receiver.url.split(":")[2].split("/")[0]
    webhook = await site.webhook(receiver.url)
    async with transaction(site.api.resources.sessions) as session:
        named = f"https://localhost:{port}/hook"
        await session.execute(update(WebhookRow).where(WebhookRow.id == UUID(webhook["id"])).values(url=named))
    literal = await site.webhook(receiver.url)
    await site.updated(1)
    others = {"ALLOW_PRIVATE_WEBHOOK_HOSTS": "false", "WEBHOOK_RETRY_SECONDS": "[0.1]"}
    others["ALLOWED_WEBHOOK_HOSTS"] = '["localhost", "127.0.0.1"]'
    with notifying(**others):
        (by_name,) = await site.until_ended(webhook)
        (by_address,) = await site.until_ended(literal)
    for refused in (by_name, by_address):
        assert (refused["state"], refused["response_status"]) == ("failed", None)
        assert refused["detail"] == "the URL, or a redirect, leads to an address that is not allowed"
    assert receiver.received == []


async def test_redirects_are_checked_and_keep_the_event(site: Site, receiver: Receiver, notifying: Starter) -> None:
    async with receiving() as moved:
        elsewhere = moved.url.replace("127.0.0.1", "localhost")
        codes = {"/307": 307, "/302": 302}

        async def redirect(one: Received) -> bytes:
            return status(codes[one.path], f"Location: {moved.url if one.path == '/307' else elsewhere}")

        receiver.answer = redirect
        followed = await site.webhook(receiver.url.replace("/hook", "/307"))
        dropped = await site.webhook(receiver.url.replace("/hook", "/302"))
        await site.updated(1)
        with notifying(WEBHOOK_RETRY_SECONDS="[]"):
            (delivered,) = await site.until_ended(followed)
            (failed,) = await site.until_ended(dropped)
        assert delivered["state"] == "delivered"
        assert failed["state"] == "failed"
        assert "drops the payload" in failed["detail"]
        (arrived,) = moved.received
        arrived.verify(followed["secret"])

        receiver.answer = said(status(307, f"Location: {elsewhere}"))
        await site.updated(2)
        with notifying(WEBHOOK_RETRY_SECONDS="[]", ALLOWED_WEBHOOK_HOSTS='["127.0.0.1"]'):
            assert (await site.until_ended(followed, 2))[-1]["detail"].endswith(
                "leads to an address that is not allowed"
            )
        assert len(moved.received) == 1, "a redirect to a host that is not allowed is not followed"


async def test_it_is_switched_off_after_long_failure_and_goes_on_where_it_stopped(
    site: Site, receiver: Receiver, notifying: Starter
) -> None:
    receiver.answer = switch = Switch()
    webhook = await site.webhook(receiver.url)
    run = new_id()
    await site.run_events(run, 1, 2)
    patient = {"WEBHOOK_OFF_AFTER_SECONDS": "0.5", "WEBHOOK_RETRY_SECONDS": "[0.3, 0.3, 0.3, 0.3, 60]"}
    with notifying(**patient):
        async with asyncio.timeout(60):
            while (await site.state(webhook))["state"] == "active":
                await asyncio.sleep(0.05)
        off = await site.state(webhook)
        assert "no attempt succeeded" in off["state_reason"]
        assert "500" in off["state_reason"]
        tried = len(receiver.received)
        notified = (await site.client.get("/v1/notifications")).json()["items"]
        assert [(one["type"], one["subject"]["id"]) for one in notified] == [("webhook.switched_off", webhook["id"])]
        assert notified[0]["data"]["reason"] == off["state_reason"]

        await site.run_events(run, 3)
        await asyncio.sleep(1)
        assert len(receiver.received) == tried, "nothing is sent while it is off"

        switch.works = True
        tested = await site.client.post(f"/v1/webhooks/{webhook['id']}/test")
        assert tested.status_code == 202
        await until(lambda: receiver.received[-1].event["type"] == "webhook.tested")
        again = await site.client.patch(f"/v1/webhooks/{webhook['id']}", json={"state": "active"})
        assert (again.json()["state"], again.json()["state_reason"]) == ("active", None)
        await site.until_ended(webhook, 4)
    told = [one.event["data"]["total"] for one in receiver.received[tried:] if one.event["type"] != "webhook.tested"]
    assert told == [1, 2, 3]
    assert (await site.state(webhook))["failing_since"] is None


async def test_the_first_failure_after_quiet_days_switches_nothing_off(
    site: Site, receiver: Receiver, notifying: Starter
) -> None:
    receiver.answer = said(status(502), status(502), status(502), status(200))
    webhook = await site.webhook(receiver.url)
    await site.updated(1)
    with notifying(WEBHOOK_OFF_AFTER_SECONDS="86400", WEBHOOK_RETRY_SECONDS="[0.2]"):
        assert [one["state"] for one in await site.until_ended(webhook)] == ["failed"]
        async with transaction(site.api.resources.sessions) as session:
            quiet = update(WebhookRow).where(WebhookRow.id == UUID(webhook["id"]))
            await session.execute(quiet.values(failing_since=WebhookRow.failing_since - timedelta(days=7)))
        await site.updated(2)
        assert [one["state"] for one in await site.until_ended(webhook, 2)] == ["failed", "delivered"]
    shown = await site.state(webhook)
    assert (shown["state"], shown["failing_since"]) == ("active", None)


async def test_a_receiver_that_is_gone_is_not_asked_again(site: Site, receiver: Receiver, notifying: Starter) -> None:
    receiver.answer = said(status(410))
    webhook = await site.webhook(receiver.url)
    await site.updated(1)
    with notifying():
        async with asyncio.timeout(60):
            while (await site.state(webhook))["state"] == "active":
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
    assert len(receiver.received) == 1


async def test_redelivery_sends_the_same_event_once_more(site: Site, receiver: Receiver, notifying: Starter) -> None:
    receiver.answer = said(status(500), status(200), status(200))
    webhook = await site.webhook(receiver.url)
    await site.updated(1)
    with notifying(WEBHOOK_RETRY_SECONDS="[]"):
        (failed,) = await site.until_ended(webhook)
        assert failed["state"] == "failed"
        path = f"/v1/webhooks/{webhook['id']}/deliveries/{failed['id']}/redeliver"
        for attempts in (2, 3):
            answer = await site.client.post(path)
            assert (answer.status_code, answer.json()["state"]) == (202, "pending")
            (ended,) = await site.until_ended(webhook)
            assert (ended["state"], ended["attempts"], ended["on_demand"]) == ("delivered", attempts, True)
    assert [made["status"] for made in ended["tries"]] == [500, 200, 200]
    assert len({one.id for one in receiver.received}) == 1
    assert len({one.body for one in receiver.received}) == 1
    for one in receiver.received:
        one.verify(webhook["secret"])


async def test_both_secrets_sign_while_a_rotation_lasts(site: Site, receiver: Receiver, notifying: Starter) -> None:
    webhook = await site.webhook(receiver.url)
    rotate = f"/v1/webhooks/{webhook['id']}/rotate-secret"
    second = (await site.client.post(rotate, json={"overlap_seconds": 3600})).json()
    await site.updated(1)
    with notifying():
        await receiver.until(1)
        third = (await site.client.post(rotate, json={"overlap_seconds": 0})).json()
        await site.updated(2)
        await receiver.until(2)
    overlapping, after = receiver.received
    overlapping.verify(webhook["secret"])
    overlapping.verify(second["secret"])
    after.verify(third["secret"])
    for old in (webhook, second):
        with pytest.raises(WebhookVerificationError):
            after.verify(old["secret"])


async def test_workspaces_are_told_of_their_own_only(
    api: Api, site: Site, receiver: Receiver, notifying: Starter
) -> None:
    other = await make_site(api)
    async with receiving() as theirs:
        ours, foreign = await site.webhook(receiver.url), await other.webhook(theirs.url)
        await site.updated(1)
        await other.updated(7)
        with notifying():
            await site.until_ended(ours)
            await other.until_ended(foreign)
        assert [one.event["data"]["workspace_id"] for one in receiver.received] == [str(site.workspace.id)]
        assert [one.event["data"]["workspace_id"] for one in theirs.received] == [str(other.workspace.id)]


async def test_more_than_may_wait_stays_in_the_log(site: Site, receiver: Receiver, notifying: Starter) -> None:
    receiver.answer = switch = Switch()
    webhook = await site.webhook(receiver.url, "project.updated")
    await site.updated(1)
    with notifying(WEBHOOK_PENDING_MAX="1", WEBHOOK_RETRY_SECONDS=json.dumps([0.5] * 60)):
        await receiver.until(1)
        await site.updated(*range(2, 8))
        await receiver.until(3)
        assert len(await site.deliveries(webhook)) == 1
        switch.works = True
        await site.until_ended(webhook, 7)
    assert [one.event["data"]["revision"] for one in receiver.received][-7:] == list(range(1, 8))


async def test_trimmed_or_replaced_history_is_passed_over(site: Site, receiver: Receiver, notifying: Starter) -> None:
    webhook = await site.webhook(receiver.url)
    await site.updated(1, 2, 3)
    sessions = site.api.resources.sessions
    async with transaction(sessions) as session:
        last = await session.scalar(select(StreamRow.last_offset).where(StreamRow.id == site.project_id))
        assert last is not None
        await session.execute(delete(EventRow).where(EventRow.stream_id == site.project_id, EventRow.offset < last))
        await session.execute(update(StreamRow).where(StreamRow.id == site.project_id).values(first_offset=last))
    with notifying() as notifier:
        await site.until_ended(webhook)
        assert notifier.metric("prelabel_notifier_webhook_history_lost_total") == 1
        async with transaction(sessions) as session:
            await session.execute(update(StreamRow).where(StreamRow.id == site.project_id).values(epoch=new_id()))
        async with asyncio.timeout(60):
            while notifier.metric("prelabel_notifier_webhook_history_lost_total") < 2:
                await asyncio.sleep(0.05)
        await site.updated(4)
        await site.until_ended(webhook, 2)
    assert [one.event["data"]["revision"] for one in receiver.received] == [3, 4]


async def test_old_deliveries_and_deleted_webhooks_leave_nothing(
    site: Site, receiver: Receiver, notifying: Starter
) -> None:
    webhook = await site.webhook(receiver.url)
    await site.updated(1)
    with notifying():
        await site.until_ended(webhook)
    with notifying(WEBHOOK_KEPT_DAYS="0.0000001"):
        async with asyncio.timeout(60):
            while await site.deliveries(webhook):
                await asyncio.sleep(0.05)
    assert (await site.client.delete(f"/v1/webhooks/{webhook['id']}")).status_code == 204
    async with site.api.resources.sessions() as session:
        for table in (WebhookCursorRow, WebhookDeliveryRow):
            left = await session.scalars(select(table).where(table.webhook_id == UUID(webhook["id"])))
            assert left.all() == []


async def test_all_that_ended_long_ago_goes_at_once(site: Site, receiver: Receiver) -> None:
    webhook = await site.webhook(receiver.url)
    ended = datetime.now(UTC) - timedelta(days=1)
    common = {"workspace_id": site.workspace.id, "webhook_id": UUID(webhook["id"]), "stream_id": site.project_id}
    told = {"event_type": "project.updated", "subject_id": site.project_id, "payload": "{}", "finished_at": ended}
    async with transaction(site.api.resources.sessions) as session:
        for state, count in (("delivered", 1_200), ("pending", 1)):
            rows = [
                {**common, **told, "id": new_id(), "event_id": new_id(), "offset": offset, "state": state}
                for offset in range(count)
            ]
            await session.execute(insert(WebhookDeliveryRow), rows)
    patience = Patience(retry_seconds=(), off_after_seconds=1, lease_seconds=1, kept_seconds=3600)
    await WebhookDeliveries(site.api.resources.sessions, site.api.resources.signals, patience).purge()
    assert [one["state"] for one in await site.deliveries(webhook)] == ["pending"]


async def test_a_bug_costs_one_attempt_and_is_not_repeated(
    site: Site, receiver: Receiver, environment: dict[str, str]
) -> None:
    """Here: a secret that signs nothing."""
    webhook = await site.webhook(receiver.url)
    await site.updated(1)
    async with transaction(site.api.resources.sessions) as session:
        broken = update(WebhookRow).where(WebhookRow.id == UUID(webhook["id"])).values(secret="whsec_?")
        await session.execute(broken)
    told: Json = {name.lower(): value for name, value in environment.items()}
    settings = NotifierSettings(**{**told, "webhook_retry_seconds": ()})
    webhooks = Webhooks(site.api.resources.sessions, site.api.resources.signals, settings)
    working = [asyncio.create_task(work()) for work in (webhooks.follow, webhooks.deliver)]
    try:
        (failed,) = await site.until_ended(webhook)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await webhooks.stop()
    assert (failed["state"], failed["attempts"], failed["detail"]) == ("failed", 1, "internal error")
