"""Where a label comes from, across projects: what came in by an import keeps what it said, and says so again when it
leaves."""

from typing import Any

from services.api.exchange.rows import Json

_OF_IMPORT = ("source", "format", "operation_id", "original")


def wrapped(sent: Json, about: Json) -> dict[str, Any]:
    """As it is stored of a label of an import; `about` names the import."""
    return {"source": "import", **about, **({"original": sent} if sent else {})}


def unwrapped(stored: Json) -> dict[str, Any]:
    """As it leaves: of a label that was ours before, what it said then, and by which import it came."""
    original = stored.get("original")
    if stored.get("format") != "prelabel" or not isinstance(original, dict) or not original.get("source"):
        return dict(stored)
    since = {name: value for name, value in stored.items() if name not in _OF_IMPORT}
    return {**original, **since, "imported": {"operation_id": stored.get("operation_id")}}
