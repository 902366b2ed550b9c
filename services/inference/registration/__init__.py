"""Registering a model of one's own, as an operation; `register.py` has the stages in order.

checks (the file in a process of its own, `onnx_file.py`; then names and decoder) → storing → loading → probing
"""
