"""Named entities by spaCy's en_core_web_sm: UTF-8 bytes in; class numbers, spans in code points and scores out.

Rows have as many places as the row with most entities, one at least; what is unused holds -1. No tensor of strings is
used: Triton's Python backend gives them empty where its NumPy is of version 2.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import spacy
import triton_python_backend_utils as pb_utils
from standstill import answers_in_time

_NOT_NEEDED = ["tagger", "parser", "senter", "attribute_ruler", "lemmatizer"]
# The server takes arrays of numpy 2 for empty ones, and dies of DLPack with numpy 1: each has its own way.
_NUMPY_2 = int(np.__version__.split(".", maxsplit=1)[0]) > 1

Entity = tuple[int, int, int, float]
"""Class number, start, end, score."""


class TritonPythonModel:
    def initialize(self, arguments: dict[str, str]) -> None:
        del arguments
        nlp = spacy.load(os.path.join(pb_utils.get_model_dir(), "pipeline"), exclude=_NOT_NEEDED)
        self._reader = _Reader(nlp)

    @answers_in_time
    def execute(self, requests: list[Any]) -> list[Any]:
        """All texts of all requests in one batch; a request that cannot be read costs no other."""
        texts: list[str] = []
        answers: list[Any] = []
        for request in requests:
            try:
                found = list(_texts(request))
            except (UnicodeDecodeError, ValueError) as error:
                answers.append(pb_utils.TritonError(f"not a UTF-8 text: {error}"))
            else:
                answers.append(range(len(texts), len(texts) + len(found)))
                texts += found
        entities = self._reader.read(texts)
        return [_response(answer, entities) for answer in answers]


class _Reader:
    """spaCy's own greedy reading, step by step, so that the probability of each step can be kept.

    The recognizer takes one step a token: outside, begin, in, last, or a unit of one token, each with a class. The
    score of an entity is the product of the probabilities of its steps, by the softmax it was trained with.
    """

    def __init__(self, nlp: Any) -> None:
        self._nlp = nlp
        self._tokens, self._recognizer = nlp.get_pipe("tok2vec"), nlp.get_pipe("ner")
        self._steps = {name: index for index, name in enumerate(self._recognizer.move_names)}
        self._classes = {name: index for index, name in enumerate(self._recognizer.labels)}

    def read(self, texts: Sequence[str]) -> list[list[Entity]]:
        documents = [self._nlp.make_doc(text) for text in texts]
        if not documents:
            return []
        self._tokens.set_annotations(documents, self._tokens.predict(documents))
        probabilities = self._recognize(documents)
        return [
            [self._entity(entity, row) for entity in document.ents]
            for document, row in zip(documents, probabilities, strict=True)
        ]

    def _recognize(self, documents: list[Any]) -> list[list[Any]]:
        """Sets the entities of the documents; the probabilities of all steps, at each token."""
        states = self._recognizer.moves.init_batch(documents)
        model = self._recognizer.model.predict(documents)
        kept: list[list[Any]] = [[] for _ in documents]
        reading = [index for index, state in enumerate(states) if not state.is_final()]
        while reading:
            live = [states[index] for index in reading]
            scores = np.ascontiguousarray(model.predict(live))
            for index, probabilities in zip(reading, _softmax(scores), strict=True):
                kept[index].append(probabilities)
            self._recognizer.transition_states(live, scores)
            reading = [index for index in reading if not states[index].is_final()]
        self._recognizer.set_annotations(documents, states)
        model.clear_memory()
        return kept

    def _entity(self, entity: Any, probabilities: list[Any]) -> Entity:
        length = len(entity)
        kinds = ["U"] if length == 1 else ["B", *["I"] * (length - 2), "L"]
        score = 1.0
        for kind, at_token in zip(kinds, probabilities[entity.start : entity.end], strict=True):
            score *= float(at_token[self._steps[f"{kind}-{entity.label_}"]])
        return self._classes[entity.label_], entity.start_char, entity.end_char, score


def _softmax(scores: Any) -> Any:
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _texts(request: Any) -> Iterator[str]:
    contents, lengths = (_array(pb_utils.get_input_tensor_by_name(request, name)) for name in ("text", "length"))
    for content, length in zip(contents, lengths.ravel(), strict=True):
        yield content[:length].tobytes().decode()


def _response(answer: Any, entities: list[list[Entity]]) -> Any:
    if not isinstance(answer, range):
        return pb_utils.InferenceResponse(output_tensors=[], error=answer)
    rows = entities[answer.start : answer.stop]
    width = max(1, *(len(row) for row in rows))
    classes = np.full((len(rows), width), -1, np.int32)
    spans = np.full((len(rows), width, 2), -1, np.int32)
    scores = np.full((len(rows), width), -1, np.float32)
    for index, row in enumerate(rows):
        for place, (number, start, end, score) in enumerate(row):
            classes[index, place], spans[index, place], scores[index, place] = number, (start, end), score
    tensors = [_tensor("classes", classes), _tensor("spans", spans), _tensor("scores", scores)]
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _array(tensor: Any) -> Any:
    return np.from_dlpack(tensor) if _NUMPY_2 else tensor.as_numpy()


def _tensor(name: str, array: Any) -> Any:
    return pb_utils.Tensor.from_dlpack(name, array) if _NUMPY_2 else pb_utils.Tensor(name, array)
