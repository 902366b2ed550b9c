"""The end of every detector here: of all places of the network, the surest ones."""

from collections.abc import Mapping

from deploy.triton.convert.graph import Graph


def keep_surest(graph: Graph, scores: str, count: int, tables: Mapping[str, tuple[str, int]]) -> str:
    """Emit the `count` highest of `scores` (N x places), and of each table (N x places x width) their lines.

    `tables`: name of the output -> the table and its width. Gives the places (N x count).
    """
    places = "surest_places"
    graph.emit_many("TopK", [scores, graph.constant([count])], ["scores", places], axis=1)
    for name, (table, width) in tables.items():
        widened = graph.emit("Unsqueeze", [places, graph.constant([2])])
        tiled = graph.emit("Tile", [widened, graph.constant([1, 1, width])])
        graph.emit("GatherElements", [table, tiled], out=name, axis=1)
    return places
