"""How many calls a model gets at once from this process, over all lanes.

Twice its instances: one that is worked on and one that waits for each, so that none is ever idle. More would only wait
in Triton's queue, where a stopping worker must wait for them and another project's rows stand behind them.
"""

from services.inference.places import Places

_AN_INSTANCE, _UNKNOWN = 2, 4


class Calls:
    def __init__(self) -> None:
        self._places: dict[str, Places] = {}

    def settle(self, model: str, instances: int | None) -> None:
        """Of a model on a server of others nobody knows how many there are."""
        self.of(model).limit = _UNKNOWN if instances is None else _AN_INSTANCE * instances

    def of(self, model: str) -> Places:
        if model not in self._places:
            self._places[model] = Places(_AN_INSTANCE)
        return self._places[model]
