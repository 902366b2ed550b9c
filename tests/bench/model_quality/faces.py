"""The detector of faces: which of the 100 faces and 100 other cut-outs of scikit-image's part of LFW does it take?"""

import numpy as np
from PIL import Image

from tests.bench.model_quality.scenes import as_png
from tests.bench.model_quality.served import Bench, Figure
from tests.bench.model_quality.sources import wheels

_SIDES = (48, 64, 96)
_PICTURE = 256


async def measure(bench: Bench) -> Figure:
    slug = "detect-faces"
    threshold = bench.model(slug).card.default_threshold
    cut_outs = np.load(wheels() / "skimage" / "data" / "lfw_subset.npy")  # 200 x 25 x 25, 0 to 1; faces first
    numbers: dict[str, float] = {}
    for what, some in (("faces", cut_outs[:100]), ("others", cut_outs[100:])):
        contents = [_pasted(cut_out, side) for side in _SIDES for cut_out in some]
        numbers[what] = float(np.mean([bool(row) for row in await bench.find(slug, contents, threshold)]))
    return Figure(
        slug,
        f"{numbers['faces']:.1%} of faces found, {numbers['others']:.1%} of other cut-outs taken for one",
        "100 faces and 100 other cut-outs of 25 x 25 grey pixels (lfw_subset of scikit-image), each on a grey picture "
        f"of {_PICTURE} x {_PICTURE} enlarged to {', '.join(map(str, _SIDES))} pixels; threshold {threshold}",
        numbers,
    )


def _pasted(cut_out: np.ndarray[tuple[int, ...], np.dtype[np.float64]], side: int) -> bytes:
    face = Image.fromarray((cut_out * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (_PICTURE, _PICTURE), (90, 90, 90))
    picture.paste(face.convert("RGB"), ((_PICTURE - side) // 2, (_PICTURE - side) // 2))
    return as_png(picture)
