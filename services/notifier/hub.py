"""Who listens to what, in this process. All in memory, all synchronous."""

from collections.abc import Sequence
from uuid import UUID

from services.notifier import metrics
from services.notifier.client import Client
from services.notifier.frames import progress_frame
from services.notifier.stream import Listener, Stream
from services.notifier.topics import Topic
from shared.contracts.progress import Progress


class Hub:
    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self._streams: dict[UUID, Stream] = {}

    def enter(self, client: Client) -> None:
        self.clients.add(client)
        metrics.CONNECTIONS.set(len(self.clients))

    def exit(self, client: Client) -> None:
        self.clients.discard(client)
        metrics.CONNECTIONS.set(len(self.clients))

    def join(self, listener: Listener, topic: Topic) -> Stream:
        """Follow the topic's stream. The listener gets nothing until it is live. A repeat changes nothing."""
        stream = self._streams.get(topic.stream_id)
        if stream is None:
            stream = self._streams[topic.stream_id] = Stream(topic.stream_id)
        listener.topic = topic
        stream.add(listener, topic.selector)
        metrics.STREAMS.set(len(self._streams))
        return stream

    def leave(self, listener: Listener) -> None:
        """Nothing more is sent to it. A repeat changes nothing."""
        listener.has_left = True
        listener.is_live = False
        stream = self.stream_of(listener)
        if listener.topic is not None and stream is not None:
            stream.remove(listener, listener.topic.selector)
            if not stream.is_followed:
                del self._streams[stream.id]
        metrics.STREAMS.set(len(self._streams))

    def stream(self, stream_id: UUID) -> Stream | None:
        return self._streams.get(stream_id)

    def stream_of(self, listener: Listener) -> Stream | None:
        return self._streams.get(listener.topic.stream_id) if listener.topic else None

    def streams(self) -> Sequence[Stream]:
        return list(self._streams.values())

    def progress(self, progress: Progress) -> None:
        stream = self._streams.get(progress.project_id)
        listeners = stream.live(("all", progress.model_run_id)) if stream and stream.advance.rises(progress) else ()
        if listeners:
            frame = progress_frame(progress)
            for listener in listeners:
                listener.receive_progress(progress.model_run_id, frame)
