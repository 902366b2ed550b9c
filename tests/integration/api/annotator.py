"""A simulated annotator with known error rates, who decides through the api and counts what measures must say."""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.integration.api.desk import Desk

LEFT, TOP, WIDTH, HEIGHT = 0, 2, 10, 20
"""Of the first box a fake worker finds; each later one lies one pixel to the right."""

NUDGED = 160 / 240
SHOVED = 40 / 360
"""What a box has in common with the same box two and eight pixels to the right."""

RATES = {"accept": 0.5, "nudge": 0.15, "shove": 0.1, "rename": 0.05, "reject": 0.1, "take_back": 0.05, "leave": 0.05}


@dataclass
class Tally:
    """What people said of one class, or of all."""

    counts: Counter[str] = field(default_factory=Counter)
    likeness: list[float] = field(default_factory=list)

    @property
    def right(self) -> int:
        return self.counts["accept"] + self.counts["nudge"]

    @property
    def edited(self) -> int:
        return self.counts["nudge"] + self.counts["shove"] + self.counts["rename"]

    @property
    def judged(self) -> int:
        return self.right + self.counts["shove"] + self.counts["rename"] + self.counts["reject"]


@dataclass
class Annotator:
    """`found` and `missed` are counted by feature, on submitted data rows only."""

    chance: random.Random
    rates: dict[str, float] = field(default_factory=lambda: dict(RATES))
    add: float = 0.4
    submit: float = 0.7
    by_class: dict[str, Tally] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    judged: list[tuple[float, bool]] = field(default_factory=list)

    async def work(self, desk: Desk) -> None:
        """One data row, from first to last."""
        wanted: list[dict[str, Any]] = []
        undone: list[str] = []
        found, missed = Counter[str](), Counter[str]()
        for pre_label in [one for one in desk.pre_labels if one["id"] in desk.ids]:
            what = self.chance.choices(list(self.rates), list(self.rates.values()))[0]
            wanted += self._decision(desk, pre_label, what, found, missed)
            if what == "take_back":
                undone.append(pre_label["id"])
        while self.chance.random() < self.add:
            wanted.append(_added(desk))
            missed["Person"] += 1
        if wanted:
            seconds = float(self.chance.randint(2, 90))
            await self._send(desk, wanted, undone, seconds)
            if self.chance.random() < self.submit:
                assert (await desk.send("review/submit", {})).status_code in {200, 201}
                self.found += found
                self.missed += missed
                self.seconds.append(seconds)

    async def _send(self, desk: Desk, wanted: list[dict[str, Any]], undone: list[str], seconds: float) -> None:
        review = await desk.decided(*wanted, seconds=seconds)
        takes_back = [
            {"action": "undo", "decision_id": one["id"]} for one in review["decisions"] if one["pre_label_id"] in undone
        ]
        if takes_back:
            await desk.decided(*takes_back)

    def _decision(
        self, desk: Desk, pre_label: dict[str, Any], what: str, found: Counter[str], missed: Counter[str]
    ) -> list[dict[str, Any]]:
        tally = self.by_class.setdefault(pre_label["model_class"], Tally())
        feature = pre_label["feature_name"]
        tally.counts[what] += 1
        right = what in {"accept", "nudge"}
        if what in {"take_back", "leave"}:
            return [] if what == "leave" else [{"action": "accept", "pre_label_id": pre_label["id"]}]
        self.judged.append((pre_label["confidence"], right))
        found[feature] += right
        about = {"pre_label_id": pre_label["id"]}
        if what in {"accept", "reject"}:
            return [{"action": what, **about}]
        if what == "rename":
            missed["Cats" if feature == "Person" else "Person"] += 1
            return [{"action": "edit", **about, **_other(desk, feature)}]
        tally.likeness.append(NUDGED if right else SHOVED)
        missed[feature] += not right
        left = LEFT + pre_label["ordinal"] + (2 if right else 8)
        return [{"action": "edit", **about, "annotation": _shape(feature, left)}]

    def total(self) -> Tally:
        every = Tally()
        for tally in self.by_class.values():
            every.counts += tally.counts
            every.likeness += tally.likeness
        return every


def _shape(feature: str, left: float) -> dict[str, Any]:
    right, bottom = left + WIDTH, TOP + HEIGHT
    if feature == "Person":
        return {"kind": "bounding_box", "left": left, "top": TOP, "width": WIDTH, "height": HEIGHT}
    ring = [[left, TOP], [right, TOP], [right, bottom], [left, bottom]]
    return {"kind": "polygon", "parts": [{"exterior": ring, "holes": []}]}


def _other(desk: Desk, feature: str) -> dict[str, Any]:
    other = "Cats" if feature == "Person" else "Person"
    return {"feature_schema_id": desk.stage.features[other], "annotation": _shape(other, 50)}


def _added(desk: Desk) -> dict[str, Any]:
    return {
        "action": "add",
        "feature_schema_id": desk.stage.features["Person"],
        "annotation": _shape("Person", 300),
    }
