"""Models in Python, for Triton's Python backend: a folder each, with a `model.py`.

They run in Triton's own environment, where Prelabel is not: nothing of it is imported here.
"""
