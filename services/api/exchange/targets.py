"""Which feature a name in an upload means, and what kind of annotation that feature takes."""

from dataclasses import dataclass
from uuid import UUID

from services.api.exchange.formats.base import Importing, Refused
from shared.annotations import FeatureType
from shared.ontology import FeatureSchema


@dataclass(frozen=True, slots=True)
class Target:
    """`feature` is None for a prediction of a class that no feature is named like: people align it later."""

    feature: FeatureSchema | None
    model_class: str | None

    @property
    def feature_id(self) -> UUID | None:
        return self.feature.id if self.feature else None

    @property
    def type(self) -> FeatureType | None:
        return self.feature.type if self.feature else None


def target_named(importing: Importing, name: str, pointer: str = "") -> Target:
    """The tool or classification of this name. Raises Refused."""
    feature = importing.vocabulary.named(name)
    if importing.what == "pre_labels":
        if not name.strip():
            raise Refused("class_missing", "a prediction needs the name of its class", pointer)
        return Target(feature, name)
    if feature is None:
        raise Refused("unknown_feature", f"the ontology has no feature {name[:200]!r}", pointer)
    return Target(feature, None)
