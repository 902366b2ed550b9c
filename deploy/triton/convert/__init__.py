"""Weights as their authors published them -> ONNX with numpy, onnx and onnxruntime only.

Runs in the virtual environment of Triton: `python -m deploy.triton.convert NAME SOURCE model.onnx`.
"""
