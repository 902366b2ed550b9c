"""A model that says ready and answers nobody: its process hangs, or Triton fails its calls too late to be heard."""

import time
from collections.abc import Mapping

from services.inference.reports import ModelState


class Silence:
    """Since when, by the servers' own counts of what they have answered to all workers."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], tuple[int, float]] = {}

    def note(self, states: Mapping[str, Mapping[str, ModelState]]) -> None:
        """By address, then model. Where a server is not among them, or its model not ready, it begins anew."""
        now, before, self._since = time.monotonic(), self._since, {}
        for address, models in states.items():
            for model, found in models.items():
                answered, since = before.get((address, model), (-1, now))
                if found.state == "READY":
                    self._since[address, model] = found.answered, since if answered == found.answered else now

    def seconds(self, model: str) -> float:
        """At the server where it lasts longest."""
        now = time.monotonic()
        return max((now - since for (_, name), (_, since) in self._since.items() if name == model), default=0.0)
