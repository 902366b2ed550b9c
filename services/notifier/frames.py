"""Messages as frames. What many subscriptions get is encoded once; only the subscription's `id` is put in."""

import json
from collections.abc import Callable
from functools import partial
from uuid import UUID

from pydantic import BaseModel

from services.notifier.server_sent_blocks import block
from services.notifier.wire import text_frame
from shared.contracts.messages import RunProgress, ServerPing, ServerPong
from shared.contracts.progress import Progress
from shared.database.event_log import LoggedEvent


class SharedFrame:
    """One message for many subscriptions. Those of one id share the very same bytes, and so do server-sent streams."""

    def __init__(self, type_: str, rest: str, make_block: Callable[[], bytes]) -> None:
        self._start = f'{{"type":"{type_}","id":'.encode()
        self._rest = b"," + rest.encode() + b"}"
        self._make_block = make_block
        self._block: bytes | None = None
        self._frames: dict[str, bytes] = {}

    def for_id(self, subscription_id: str) -> bytes:
        frame = self._frames.get(subscription_id)
        if frame is None:
            frame = text_frame(self._start + json.dumps(subscription_id).encode() + self._rest)
            self._frames[subscription_id] = frame
        return frame

    def block(self) -> bytes:
        if self._block is None:
            self._block = self._make_block()
        return self._block


def frame_of(message: BaseModel) -> bytes:
    return text_frame(message.model_dump_json().encode())


def event_frame(event: LoggedEvent, epoch: UUID | None) -> SharedFrame:
    """The logged payload goes in as it is, unparsed, so that an old notifier passes on new events."""
    make_block = partial(block, event.payload, id_=f"{epoch}:{event.offset}")
    return SharedFrame("event", f'"offset":{event.offset},"event":{event.payload}', make_block)


def progress_frame(progress: Progress) -> SharedFrame:
    numbers = progress.model_dump(include=set(RunProgress.model_fields) - {"model_run_id", "preview_id"})
    name = "preview_id" if progress.purpose == "preview" else "model_run_id"
    shown = RunProgress(**{name: progress.model_run_id}, **numbers)
    written = shown.model_dump_json()
    return SharedFrame("progress", written[1:-1], partial(block, written, name="progress"))


PING = frame_of(ServerPing())
PONG = frame_of(ServerPong())
