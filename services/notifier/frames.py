"""Messages as frames. What many subscriptions get is encoded once; only the subscription's `id` is put in."""

import json

from pydantic import BaseModel

from services.notifier.wire import text_frame
from shared.contracts.messages import RunProgress, ServerPing, ServerPong
from shared.contracts.progress import Progress
from shared.database.event_log import LoggedEvent


class SharedFrame:
    """One message for many subscriptions. Those of one id share the very same bytes."""

    def __init__(self, type_: str, rest: str) -> None:
        self._start = f'{{"type":"{type_}","id":'.encode()
        self._rest = b"," + rest.encode() + b"}"
        self._frames: dict[str, bytes] = {}

    def for_id(self, subscription_id: str) -> bytes:
        frame = self._frames.get(subscription_id)
        if frame is None:
            frame = text_frame(self._start + json.dumps(subscription_id).encode() + self._rest)
            self._frames[subscription_id] = frame
        return frame


def frame_of(message: BaseModel) -> bytes:
    return text_frame(message.model_dump_json().encode())


def event_frame(event: LoggedEvent) -> SharedFrame:
    """The logged payload goes in as it is, unparsed, so that an old notifier passes on new events."""
    return SharedFrame("event", f'"offset":{event.offset},"event":{event.payload}')


def progress_frame(progress: Progress) -> SharedFrame:
    numbers = progress.model_dump(include=set(RunProgress.model_fields) - {"model_run_id", "preview_id"})
    name = "preview_id" if progress.purpose == "preview" else "model_run_id"
    shown = RunProgress(**{name: progress.model_run_id}, **numbers)
    return SharedFrame("progress", shown.model_dump_json()[1:-1])


PING = frame_of(ServerPing())
PONG = frame_of(ServerPong())
