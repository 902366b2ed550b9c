"""Models in Python, for Triton's Python backend: a folder each, with a `model.py`.

They run in Triton's own environment, where Prelabel is not: nothing of it is imported here.
"""

from pathlib import Path

STANDSTILL = Path(__file__).with_name("standstill.py")
"""Lies beside the `model.py` of every model in Python, which must use it."""
