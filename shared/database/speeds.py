"""The measured speed of a catalog model, as its row keeps it."""

from shared.database.tables import CatalogModelRow
from shared.speed import Speed


def speed_of(model: CatalogModelRow) -> Speed | None:
    """None until it was measured here."""
    if not model.rows_per_second:
        return None
    return Speed(model.rows_per_second, model.speed_variance, model.speed_seconds, model.speed_samples)


def write_speed(model: CatalogModelRow, speed: Speed) -> None:
    model.rows_per_second, model.speed_variance = speed.rows_per_second, speed.variance
    model.speed_seconds, model.speed_samples = speed.seconds, speed.samples
