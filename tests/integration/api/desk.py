"""A data row on a labeler's desk: decisions by the api, with the ETag that was read last."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2

from services.api.access.principal import Role
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

BOX = {"kind": "bounding_box", "left": 10, "top": 10, "width": 40, "height": 20}


@dataclass
class Desk:
    """`pre_labels` are the run's, of all rows."""

    stage: Stage
    run_id: UUID
    pre_labels: Sequence[dict[str, Any]]
    row: int = 0

    @property
    def path(self) -> str:
        return f"/v1/data-rows/{self.stage.rows[self.row]}"

    @property
    def ids(self) -> list[str]:
        return [p["id"] for p in self.pre_labels if p["data_row_id"] == str(self.stage.rows[self.row])]

    async def review(self) -> Any:
        return await self.stage.get(f"{self.path}/review")

    async def send(
        self, what: str, body: Any = None, etag: str | None = None, role: Role = Role.LABELER
    ) -> httpx2.Response:
        """With the present ETag, unless another is given."""
        tag = etag or f'"{(await self.review())["revision"]}"'
        client = self.stage.api.as_(self.stage.workspace, role)
        return await client.post(f"{self.path}/{what}", json=body, headers={"If-Match": tag})

    async def decide(self, *decisions: dict[str, Any], **more: Any) -> httpx2.Response:
        return await self.send("decisions", {"decisions": list(decisions), **more})

    async def decided(self, *decisions: dict[str, Any], **more: Any) -> Any:
        answer = await self.decide(*decisions, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()


async def make_desk(api: Api, workspace: Workspace, *entries: dict[str, Any]) -> Desk:
    stage = await make_stage(api, workspace)
    said = {0: [("person", 0.9), ("cat", 0.8)], 1: [("person", 0.7)]}
    run_id = await stage.finished(said, *entries)
    return Desk(stage, run_id, await stage.pages(f"/v1/model-runs/{run_id}/pre-labels"))


def errors(answer: httpx2.Response, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}
