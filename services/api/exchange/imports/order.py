"""An order to import: what the operation keeps, and what it is worked on with."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.api.exchange import queries
from services.api.exchange.formats import FORMATS
from services.api.exchange.formats.base import Importing, Reader
from services.api.exchange.imports.report import Report, upload_key
from services.api.exchange.losses import Losses
from services.api.exchange.rows import What
from services.api.exchange.vocabulary import Vocabulary
from services.api.projects.queries import get_project
from shared.database.tables import ProjectRow
from shared.operations import RunningOperation
from shared.preprocessing import MediaType


class ImportOrder(BaseModel):
    """`confidence` is that of predictions which say none."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: str
    options: dict[str, Any] = {}
    upload_id: UUID
    digest: str
    model_run_id: UUID | None = None
    confidence: float = 1.0


@dataclass(frozen=True)
class ImportGround:
    """The upload in a local file, the project as it is now, and the reader of the format."""

    order: ImportOrder
    project: ProjectRow
    vocabulary: Vocabulary
    reader: Reader
    losses: Losses
    report: Report
    size: int

    @property
    def media_type(self) -> MediaType:
        return "text" if self.project.media_type == "text" else "image"


@asynccontextmanager
async def opened(operation: RunningOperation, what: What) -> AsyncIterator[ImportGround]:
    """Raises NotFound when the upload or the project is gone."""
    order = ImportOrder.model_validate(operation.parameters)
    claim = operation.claim
    assert claim.project_id is not None
    async with operation.step() as work:
        project = await get_project(work.session, claim.workspace_id, claim.project_id)
        vocabulary = await queries.read_vocabulary(work.session, project)
    report = Report(operation.store, claim.workspace_id, order.upload_id)
    one = FORMATS[order.format]
    media_type: MediaType = "text" if project.media_type == "text" else "image"
    options, losses = one.import_options.model_validate(order.options), Losses(one.losses)
    with tempfile.TemporaryFile(prefix="prelabel-upload-") as file:
        size = 0
        async for piece in operation.store.pieces(upload_key(claim.workspace_id, order.upload_id)):
            size += await asyncio.to_thread(file.write, piece)
        file.seek(0)
        assert one.read is not None
        importing = Importing(file, size, media_type, what, vocabulary, losses, options)
        yield ImportGround(order, project, vocabulary, one.read(importing), losses, report, size)
