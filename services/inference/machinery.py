"""What every batch of this worker uses."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TypeVar

from services.inference.budget import ByteBudget
from services.inference.calls import Calls
from services.inference.inputs.content import ContentReader
from services.inference.servers import Servers
from services.inference.settings import InferenceSettings
from services.inference.shared_memory import SharedMemory
from services.inference.solitude import Solitude
from services.inference.speed import Speedometer
from services.inference.triton import Triton
from shared.database.engine import Sessions
from shared.object_store import ObjectStore

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Machinery:
    settings: InferenceSettings
    sessions: Sessions
    store: ObjectStore
    reader: ContentReader
    triton: Triton
    threads: ThreadPoolExecutor
    memory: SharedMemory | None = None
    solitude: Solitude = field(default_factory=Solitude)
    speed: Speedometer = field(default_factory=Speedometer)
    calls: Calls = field(default_factory=Calls)
    contents: ByteBudget = field(init=False)
    servers: Servers = field(init=False)

    def __post_init__(self) -> None:
        servers = Servers(
            self.triton,
            self.settings.allowed_inference_addresses,
            self.settings.inference_deadline_seconds,
            self.memory,
        )
        object.__setattr__(self, "servers", servers)
        object.__setattr__(self, "contents", ByteBudget(self.settings.inference_content_bytes))

    async def in_thread(self, call: Callable[[], Result]) -> Result:
        within = copy_context()  # what is logged there says what it is about too
        return await asyncio.get_running_loop().run_in_executor(self.threads, within.run, call)
