"""From counts to measures. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping

from services.api.measures.bounds import wilson
from services.api.measures.calibration import Calibration, Judged
from services.api.measures.queries import Names
from services.api.measures.schemas import (
    CalibrationBin,
    ClassMeasures,
    Confused,
    Estimate,
    FeatureMeasures,
    Judgement,
    Target,
)

Place = tuple[UUID, UUID | None]


def estimate(part: int, whole: int) -> Estimate:
    low, high = wilson(part, whole)
    return Estimate(value=part / whole if whole else None, low=low, high=high, of=whole)


def target(place: Place, names: Names) -> Target:
    feature_id, option_id = place
    return Target(
        feature_schema_id=feature_id,
        feature_name=names.get(feature_id),
        option_id=option_id,
        option_name=names.get(option_id) if option_id else None,
    )


def overall_of(classes: Sequence[RowMapping]) -> Judgement:
    (of_all,) = (row for row in classes if row["model_class"] is None)
    return Judgement(**_judgement(of_all))


def classes_of(classes: Sequence[RowMapping], names: Names) -> list[ClassMeasures]:
    found = [
        ClassMeasures(model_class=row["model_class"], **dict(target(_place(row), names)), **_judgement(row))
        for row in classes
        if row["model_class"] is not None
    ]
    return sorted(found, key=lambda one: (one.model_class, one.feature_name or "", one.option_name or ""))


def features_of(classes: Sequence[RowMapping], missed: Sequence[RowMapping], names: Names) -> list[FeatureMeasures]:
    good: Counter[Place] = Counter()
    for row in classes:
        if row["model_class"] is not None:
            good[_place(row)] += row["found"]
    bad: Counter[Place] = Counter({_place(row): row["missed"] for row in missed})
    found = [
        FeatureMeasures(
            **dict(target(place, names)),
            found=good[place],
            missed=bad[place],
            recall=estimate(good[place], good[place] + bad[place]),
        )
        for place in good.keys() | bad.keys()
    ]
    return sorted(found, key=lambda one: (one.feature_name or "", one.option_name or ""))


def confusion_of(classes: Sequence[RowMapping], edits: Sequence[RowMapping], names: Names) -> list[Confused]:
    counts: Counter[tuple[Place, Place | None]] = Counter()
    for row in classes:
        if row["model_class"] is not None:
            counts[_place(row), _place(row)] += row["accepted"]
            counts[_place(row), None] += row["rejected"]
    for row in edits:
        counts[_place(row), (row["made_feature_id"], row["made_option_id"])] += row["count"]
    return [
        Confused(shown_as=target(shown, names), settled_as=target(settled, names) if settled else None, count=count)
        for (shown, settled), count in sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))
        if count
    ]


def judged_of(confidences: Sequence[RowMapping]) -> list[Judged]:
    return [
        Judged(row["hundredth"] / 100, row["judged"], row["right"], float(row["confidences"])) for row in confidences
    ]


def bins_of(found: Calibration) -> list[CalibrationBin]:
    return [
        CalibrationBin(
            low=one.low,
            high=one.high,
            judged=one.total,
            right=one.right,
            confidence=one.confidence if one.total else None,
            precision=estimate(one.right, one.total),
        )
        for one in found.bins
    ]


def _judgement(row: RowMapping) -> dict[str, Any]:
    counts = {name: row[name] for name in ("judged", "accepted", "edited", "rejected", "right")}
    return {
        **counts,
        "acceptance_rate": estimate(row["accepted"], row["judged"]),
        "precision": estimate(row["right"], row["judged"]),
        "edit_likeness": row["likeness"],
    }


def _place(row: RowMapping) -> Place:
    return row["feature_schema_id"], row["option_id"]
