"""Reads the text in pictures: one PP-OCRv4 network finds the lines, another reads them.

In: `images`, UINT8 RGB, N x height x width x 3, with a black ground where there is no picture. Out, for as many places
as the picture with the most lines needs: `quads` FP32 N x places x 4 x 2, corners clockwise from the top left, in
pixels; `scores` FP32 N x places, the mean certainty of the characters; `texts` INT32 N x places x length, Unicode code
points. A place or an end that is not used holds score 0 and code points -1.

Texts go as numbers, since the Python backend hands strings over with numpy 1 only.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from standstill import answers_in_time

from .lines import Array, as_input, cut_line, filled_width, read
from .regions import STEP, content_box, find_quads

LINES_AT_ONCE = 8
Found = tuple[Array, float, str]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        providers: list[Any] = ["CPUExecutionProvider"]
        if args["model_instance_kind"] == "GPU":
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(args["model_instance_device_id"])}))
        threads = json.loads(args["model_config"]).get("parameters", {}).get("intra_op_thread_count")
        options = ort.SessionOptions()
        if threads:
            options.intra_op_num_threads = int(threads["string_value"])
        folder = os.path.dirname(__file__)
        self._finder, self._reader = (
            ort.InferenceSession(os.path.join(folder, name), options, providers=providers)
            for name in ("detection.onnx", "recognition.onnx")
        )
        listed = self._reader.get_modelmeta().custom_metadata_map["character"].split("\n")
        self._characters = ["", *listed, " "]

    @answers_in_time
    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            images = pb_utils.get_input_tensor_by_name(request, "images").as_numpy()
            outputs = _padded(self._read(images))
            return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])
        except Exception as error:  # one bad request must not fail its batch
            return pb_utils.InferenceResponse([], error=pb_utils.TritonError(f"read-text: {error}"))

    def _read(self, images: Array) -> list[list[Found]]:
        lines = [(row, quad, cut) for row, image in enumerate(images) for quad, cut in self._lines(image)]
        found: list[list[Found]] = [[] for _ in images]
        for (row, quad, _), (text, certainty) in zip(lines, self._texts([cut for _, _, cut in lines]), strict=True):
            if text:
                found[row].append((quad, certainty, text))
        return found

    def _lines(self, image: Array) -> Iterator[tuple[Array, Array]]:
        """Quads in pixels of the picture, and what lies in them."""
        top, bottom, left, right = content_box(image)
        if bottom == top:
            return
        content = np.ascontiguousarray(image[top:bottom, left:right, ::-1])  # the networks know BGR
        height, width = content.shape[:2]
        ground = np.full((1, 3, -(-height // STEP) * STEP, -(-width // STEP) * STEP), -1, np.float32)
        ground[0, :, :height, :width] = content.transpose(2, 0, 1) / 127.5 - 1
        likely = _only(self._finder, ground)[0, 0, :height, :width]
        for quad in find_quads(likely):
            yield quad + np.array([left, top], np.float32), cut_line(content, quad)

    def _texts(self, lines: Sequence[Array]) -> list[tuple[str, float]]:
        texts: list[tuple[str, float]] = [("", 0.0)] * len(lines)
        by_width: dict[int, list[int]] = defaultdict(list)
        for index, line in enumerate(lines):
            by_width[filled_width(line)].append(index)
        for width, indices in by_width.items():
            for start in range(0, len(indices), LINES_AT_ONCE):
                some = indices[start : start + LINES_AT_ONCE]
                answers = _only(self._reader, as_input([lines[index] for index in some], width))
                for index, answer in zip(some, answers, strict=True):
                    texts[index] = read(answer, self._characters, lines[index])
        return texts


def _only(session: Any, value: Array) -> Array:
    answer: Array = session.run(None, {session.get_inputs()[0].name: value})[0]
    return answer


def _padded(found: Sequence[Sequence[Found]]) -> dict[str, Array]:
    # Never an empty axis: the backend does not send one.
    places = max([1, *(len(row) for row in found)])
    length = max([1, *(len(text) for row in found for _, _, text in row)])
    quads = np.zeros((len(found), places, 4, 2), np.float32)
    scores = np.zeros((len(found), places), np.float32)
    texts = np.full((len(found), places, length), -1, np.int32)
    for row, lines in enumerate(found):
        for place, (quad, certainty, text) in enumerate(lines):
            quads[row, place], scores[row, place] = quad, certainty
            texts[row, place, : len(text)] = [ord(character) for character in text]
    return {"quads": quads, "scores": scores, "texts": texts}
