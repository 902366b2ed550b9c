"""A foreign ontology becomes the project's next version; what has the same name and kind keeps its id."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from services.api.access.principal import Principal
from services.api.exchange.formats.base import UnusableUpload
from services.api.exchange.losses import LossCount, Losses
from services.api.exchange.ontologies import ONTOLOGY_FORMATS
from services.api.exchange.ontologies.base import ReadingOntology
from services.api.exchange.queries import read_vocabulary
from services.api.exchange.vocabulary import Vocabulary
from services.api.projects.queries import get_project
from services.api.projects.service import replace_ontology
from shared.database.tables import OntologyRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import FieldError, Unprocessable, UnsupportedMedia
from shared.ontology import Ontology
from shared.preprocessing import MediaType


@dataclass(frozen=True, slots=True)
class ForeignOntology:
    """`expected` is the version the client saw."""

    project_id: UUID
    expected: int
    format: str
    content_type: str
    content: bytes


async def import_ontology(
    work: UnitOfWork, principal: Principal, wanted: ForeignOntology
) -> tuple[OntologyRow | None, list[LossCount]]:
    """The version, and what was lost. Raises Unprocessable, and what replacing an ontology raises."""
    project = await get_project(work.session, principal.workspace_id, wanted.project_id)
    one = ONTOLOGY_FORMATS.get(wanted.format)
    if one is None:
        known = ", ".join(ONTOLOGY_FORMATS)
        error = FieldError("/format", "unknown_format", f"the formats are {known}")
        raise Unprocessable("the ontology cannot be imported", code="invalid_import", errors=[error])
    if wanted.content_type not in one.takes:
        raise UnsupportedMedia(f"{one.title} is taken as {', '.join(one.takes)}")
    media_type: MediaType = "text" if project.media_type == "text" else "image"
    losses = Losses(one.losses)
    try:
        tree = one.read(ReadingOntology(wanted.content, media_type, losses))
    except UnusableUpload as error:
        raise Unprocessable(error.detail, code=error.code) from error
    except (ValidationError, RecursionError) as error:
        raise Unprocessable("this is no ontology of that format", code="invalid_ontology") from error
    tree = _with_known_ids(tree, await read_vocabulary(work.session, project))
    row = await replace_ontology(work, principal, wanted.project_id, wanted.expected, tree)
    return row, losses.listed()


def _with_known_ids(tree: Ontology, present: Vocabulary) -> Ontology:
    sent = tree.model_dump()
    for part, word in (("tools", "tool"), ("classifications", "classification")):
        _name(sent[part], word, None, present)
    return Ontology.model_validate(sent)


def _name(nodes: Sequence[dict[str, Any]], word: str, parent: UUID | None, present: Vocabulary) -> None:
    for node in nodes:
        known = present.named(node["name"], parent)
        if known is None or (known.node, known.type) != (word, node.get("type")):
            continue
        node["id"] = known.id
        _name(node.get("classifications", ()), "classification", known.id, present)
        _name(node.get("options", ()), "option", known.id, present)
