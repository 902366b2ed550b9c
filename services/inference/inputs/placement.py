"""Where the model's input lies on the data row: the way back for what the model says."""

from dataclasses import dataclass

from shared.annotations import Canvas


@dataclass(frozen=True, slots=True)
class Placement:
    """Model pixels to image pixels: `image = (model - offset) / scale`. `canvas` is the whole data row."""

    canvas: Canvas
    scale_x: float = 1.0
    scale_y: float = 1.0
    offset_x: float = 0.0
    offset_y: float = 0.0

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        return (x - self.offset_x) / self.scale_x, (y - self.offset_y) / self.scale_y
