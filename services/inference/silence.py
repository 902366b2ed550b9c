"""A model that says ready and answers nobody: its process hangs, or Triton fails its calls too late to be heard."""

import time
from collections.abc import Mapping

from services.inference.reports import ModelState


class Silence:
    """Of every model on every server, by the servers' own counts of what they have answered to all workers.

    `seconds` of it are borne. Each time it was too long twice as much is borne until the next answer: a model may need
    long for its first one, and must not begin anew for ever.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[tuple[str, str], tuple[int, float]] = {}
        self._noted_at = 0.0
        self._borne: dict[str, float] = {}

    def note(self, states: Mapping[str, Mapping[str, ModelState]]) -> None:
        """By address, then model. Where a server is not among them, or its model not ready, it begins anew."""
        before, self._since = self._since, {}
        self._noted_at = now = time.monotonic()
        for address, models in states.items():
            for model, found in models.items():
                answered, since = before.get((address, model), (found.answered, now))
                if found.answered > answered:
                    self._borne.pop(model, None)
                if found.state == "READY":
                    self._since[address, model] = found.answered, since if answered == found.answered else now

    def is_too_long(self, model: str) -> bool:
        """At the server where it lasts longest, as far as was noted: nobody knows what was answered since."""
        borne = self._borne.get(model, self._seconds)
        if all(self._noted_at - since <= borne for (_, name), (_, since) in self._since.items() if name == model):
            return False
        self._borne[model] = 2 * borne
        return True
