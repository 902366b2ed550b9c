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
from services.inference.others import LabelStudioBackends, Lending, Others
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
    lending: Lending = field(init=False)

    def __post_init__(self) -> None:
        settings, lending = self.settings, Lending(self.settings)
        backends = LabelStudioBackends(
            settings.allowed_label_studio_backends, settings.label_studio_deadline_seconds, lending
        )
        others = Others(
            settings.allowed_inference_addresses, settings.inference_deadline_seconds, self.memory, backends
        )
        object.__setattr__(self, "lending", lending)
        object.__setattr__(self, "servers", Servers(self.triton, others))
        object.__setattr__(self, "contents", ByteBudget(self.settings.inference_content_bytes))

    async def in_thread(self, call: Callable[[], Result]) -> Result:
        within = copy_context()  # what is logged there says what it is about too
        return await asyncio.get_running_loop().run_in_executor(self.threads, within.run, call)
