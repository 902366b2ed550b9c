"""Photographs for the demo and the tests, out of packages that may be passed on.

docs/models.md says where each comes from and under which license.
"""

import shutil
from pathlib import Path

PICTURES = {
    "astronaut.png": "skimage/data/astronaut.png",
    "camera.png": "skimage/data/camera.png",
    "chelsea.png": "skimage/data/chelsea.png",
    "china.jpg": "sklearn/datasets/images/china.jpg",
    "coffee.png": "skimage/data/coffee.png",
    "coins.png": "skimage/data/coins.png",
    "flower.jpg": "sklearn/datasets/images/flower.jpg",
    "grace_hopper.jpg": "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    "rocket.jpg": "skimage/data/rocket.jpg",
}


def copy_pictures(wheels: Path, out: Path) -> None:
    """A whole folder or none; one from an earlier time is replaced."""
    making = out.with_name(f".{out.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for name, source in PICTURES.items():
        shutil.copyfile(wheels / source, making / name)
    shutil.rmtree(out, ignore_errors=True)
    making.rename(out)
