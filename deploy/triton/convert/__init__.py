"""What authors published -> the files of a Triton model, with numpy, onnx and onnxruntime only.

Runs in the virtual environment of Triton: `python -m deploy.triton.convert NAME SOURCE FOLDER`.
"""
