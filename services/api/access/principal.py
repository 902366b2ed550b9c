"""Who is asking, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """In rising order; each may do all that those before it may."""

    VIEWER = "viewer"
    LABELER = "labeler"
    EDITOR = "editor"
    ADMIN = "admin"

    def allows(self, needed: "Role") -> bool:
        """Whether somebody with this role may do what `needed` is asked for."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class Principal:
    workspace_id: UUID
    member_id: UUID
    api_key_id: UUID
    role: Role

    @property
    def actor(self) -> str:
        return f"member:{self.member_id}"
