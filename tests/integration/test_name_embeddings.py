"""Names compared by meaning: the api asks, a worker embeds with the real model, only what is very near is suggested."""

import asyncio
import csv
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from services.api.model_catalog import name_embeddings
from services.api.model_catalog.meanings import CUT, Meanings, may_be_alike, spoken
from services.api.model_catalog.name_embeddings import find_meanings
from services.api.resources import OpenWork
from services.inference.names import NameEmbedder
from services.inference.served_models import ServedModels
from services.inference.servers import Servers
from services.inference.settings import InferenceSettings
from services.inference.triton import Triton
from shared.database.engine import create_engine, create_sessions
from shared.database.tables import NameEmbeddingRow
from shared.database.unit_of_work import unit_of_work
from shared.object_store import ObjectStore
from tests.support.api import Api, Workspace, api_settings, running_api
from tests.support.cards import built, card
from tests.support.runs import add_model
from tests.support.servers import MODELS
from tests.support.workers import working
from tests.support.world import World, built_models, make_world

pytestmark = pytest.mark.asyncio

_TABLE = Path(__file__).parents[1] / "unit/data/names_of_like_meaning.tsv"
_PAIRS = [tuple(row) for row in csv.reader(_TABLE.read_text("utf-8").splitlines()[1:], delimiter="\t")]


@pytest.fixture
async def api(service_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Api]:
    settings = api_settings(service_environment["DATABASE_URL"], service_environment["REDIS_URL"], tmp_path)
    async with running_api(settings) as api:
        yield api


@pytest.fixture
async def world(service_environment: dict[str, str]) -> AsyncIterator[World]:
    """With the embedding model in the catalog."""
    engine = create_engine(InferenceSettings(), "test")
    world = await make_world(create_sessions(engine), ObjectStore(service_environment["OBJECT_STORE_URL"]), "text")
    await world.add_model(built_models(MODELS)["embed-minilm"])
    yield world
    await engine.dispose()


@pytest.fixture
async def works(api: Api) -> OpenWork:
    return lambda: unit_of_work(api.resources.sessions, api.resources.signals, "service:tests")


async def _meanings(works: OpenWork, workspace_id: UUID, names: Sequence[str]) -> Meanings:
    async with asyncio.timeout(60):
        while True:
            embeddings, found = await find_meanings(works, workspace_id, names)
            if embeddings == "used":
                return found
            assert embeddings == "pending"


async def _stored(api: Api, *where: Any) -> int:
    async with api.resources.sessions() as session:
        return (await session.scalar(select(func.count()).select_from(NameEmbeddingRow).where(*where))) or 0


async def test_golden_table_of_meanings(api: Api, world: World, works: OpenWork) -> None:
    assert len(_PAIRS) == len(set(_PAIRS)) >= 200
    async with working(world):
        found = await _meanings(works, world.workspace_id, [name for pair in _PAIRS for name in pair[:2]])
    wrong = []
    for model_class, feature, expected in _PAIRS:
        reason = "similar_meaning" if list(found.alike([model_class], [feature])) else "none"
        if reason != expected:
            wrong.append((model_class, feature, reason))
    assert not wrong
    nearest = max(
        float(found.vectors[spoken(one)] @ found.vectors[spoken(other)])
        for one, other, expected in _PAIRS
        if expected == "none" and may_be_alike(one, other)
    )
    assert nearest < CUT - 0.01, "the cut keeps a distance from what only it keeps apart"
    for vector in found.vectors.values():
        assert vector.shape == (384,)
        assert float(vector @ vector) == pytest.approx(1, abs=1e-3)


async def _project(api: Api, workspace: Workspace, names: Sequence[str]) -> str:
    ontology = {"tools": [{"type": "bounding_box", "name": name} for name in names]}
    body = {"name": "meanings", "media_type": "image", "ontology": ontology}
    answer = await api.as_(workspace).post("/v1/projects", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def _suggested(api: Api, workspace: Workspace, project: str, model: str) -> dict[str, Any]:
    answer = await api.as_(workspace).get(f"/v1/projects/{project}/models/{model}/alignment")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_suggested_by_meaning_one_to_one(api: Api, world: World) -> None:
    workspace = await api.workspace()
    detector = card("finds", "bounding_box", ("pooch", "canine", "person", "wheat"))
    model = str(await add_model(api.resources.sessions, detector, workspace_id=workspace.id))
    project = await _project(api, workspace, ["Dog", "Person", "Barley"])
    first = await _suggested(api, workspace, project, model)
    assert first["embeddings"] == "pending", "nobody embeds yet"
    assert [entry["reason"] for entry in first["entries"]] == ["normalized_name"]
    async with working(world):
        async with asyncio.timeout(30):
            while (found := await _suggested(api, workspace, project, model))["embeddings"] != "used":
                pass
        named = {(one["model_class"], one["feature_name"], one["reason"]) for one in found["entries"]}
        assert named == {("person", "Person", "normalized_name"), ("canine", "Dog", "similar_meaning")}
        assert 0.5 < next(one["score"] for one in found["entries"] if one["model_class"] == "canine") <= 0.65
        assert found["unmapped_model_classes"] == ["pooch", "wheat"]
    assert await _suggested(api, workspace, project, model) == found, "what is there needs no worker"
    alone = await _project(api, workspace, ["Person"])
    assert (await _suggested(api, workspace, alone, model))["embeddings"] == "not_needed"


async def test_names_are_of_one_workspace(api: Api, world: World, works: OpenWork) -> None:
    one, other = await api.workspace("one"), await api.workspace("other")
    async with working(world):
        await _meanings(works, one.id, ["secret name", "Secret-Name", "!!!"])
    assert await _stored(api, NameEmbeddingRow.workspace_id == one.id) == 1
    assert await _stored(api, NameEmbeddingRow.workspace_id == other.id) == 0
    assert (await find_meanings(works, other.id, ["secret name"]))[0] == "pending"


async def test_nothing_embeds(
    api: Api, works: OpenWork, service_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await api.workspace()
    assert (await find_meanings(works, workspace.id, ["a name"]))[0] == "unavailable", "no model"
    model = built_models(MODELS)["embed-minilm"].card
    await add_model(api.resources.sessions, model, "unavailable")
    assert (await find_meanings(works, workspace.id, ["a name"]))[0] == "unavailable", "the model is away"
    monkeypatch.setattr(name_embeddings, "MOST_NAMES", 1)
    assert (await find_meanings(works, workspace.id, ["a name", "another"]))[0] == "unavailable", "too many"
    assert await _stored(api) == 0


async def test_kept_names_are_bounded(api: Api, world: World, works: OpenWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_embeddings, "MOST_KEPT", 3)
    monkeypatch.setattr(name_embeddings, "WAIT_SECONDS", 0.0)
    for number in range(5):
        await find_meanings(works, world.workspace_id, [f"name {number}"])
    async with api.resources.sessions() as session:
        kept = set(await session.scalars(select(NameEmbeddingRow.text)))
    assert kept == {"name 2", "name 3", "name 4"}


async def test_what_cannot_be_embedded_stands_in_nobodys_way(api: Api, world: World, works: OpenWork) -> None:
    """A model whose tokenizer is lost: its names are given up, those of the other model are embedded."""
    broken = built_models(MODELS)["embed-minilm"].card.model_copy(update={"slug": "a-broken-one"})
    async with world.sessions.begin() as session:
        session.add(NameEmbeddingRow(workspace_id=world.workspace_id, digest=built(broken).digest, text="lost"))
    await add_model(world.sessions, broken)
    async with world.sessions.begin() as session:
        digest = built_models(MODELS)["embed-minilm"].digest
        session.add(NameEmbeddingRow(workspace_id=world.workspace_id, digest=digest, text="found"))
    settings = InferenceSettings()
    triton = Triton(settings.triton_url, settings.inference_deadline_seconds)
    with ThreadPoolExecutor(1) as threads:
        embedder = NameEmbedder(world.sessions, ServedModels(world.store, Servers(triton), threads), 1)
        assert [await embedder.embed_some() for _ in range(3)] == [True, True, False]
    await triton.close()
    async with world.sessions() as session:
        assert list(await session.scalars(select(NameEmbeddingRow.text))) == ["found"]
