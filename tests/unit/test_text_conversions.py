"""What the models for texts are made of: estimators of scikit-learn, tensors, and the words of a vocabulary."""

import io
import json
import pickle
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer

from deploy.triton.convert.joblib_pickle import read_attributes
from deploy.triton.convert.safetensors import read_tensors
from tests.support.servers import MODELS
from tests.support.world import built_models

_ALIGNMENT = 16


class NumpyArrayWrapper:
    """As joblib has it: the array's bytes stand behind it in the stream, at a place that is a multiple of 16."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __getstate__(self) -> dict[str, Any]:
        described = {"shape": self.array.shape, "order": "C", "dtype": self.array.dtype}
        return {**described, "numpy_array_alignment_bytes": _ALIGNMENT}


class Estimator:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


_PURE: Any = vars(pickle)["_Pickler"]


class _Pickler(_PURE):  # type: ignore[misc]
    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        super().save(obj, save_persistent_id)
        if isinstance(obj, NumpyArrayWrapper):
            self.framer.commit_frame(force=True)
            padding = _ALIGNMENT - (self.file.tell() + 1) % _ALIGNMENT
            self.file.write(bytes([padding]) + b"\xff" * padding + obj.array.tobytes())

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=4)
        self.file = file


@pytest.fixture
def joblib_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes under the names by which joblib and scikit-learn pickle them."""
    for cls, name in ((NumpyArrayWrapper, "joblib.numpy_pickle"), (Estimator, "sklearn.somewhere")):
        module = ModuleType(name)
        setattr(module, cls.__name__, cls)
        monkeypatch.setattr(cls, "__module__", name)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setitem(sys.modules, name.partition(".")[0], ModuleType(name.partition(".")[0]))


def stored(folder: Path, estimator: Any) -> Path:
    file = io.BytesIO()
    _Pickler(file).dump(estimator)
    path = folder / "model.joblib"
    path.write_bytes(file.getvalue())
    return path


@pytest.mark.usefixtures("joblib_modules")
def test_an_estimator_is_read_with_its_arrays(tmp_path: Path) -> None:
    first, second = np.arange(12, dtype=np.float64).reshape(3, 4), np.array([7, 8], np.int64)
    inner = Estimator(coef_=NumpyArrayWrapper(first), slope=np.float64(0.25))
    read = read_attributes(stored(tmp_path, Estimator(machines=[inner], words={"a": 1}, ids=NumpyArrayWrapper(second))))
    assert (read["words"], read["machines"][0]["slope"]) == ({"a": 1}, 0.25)
    np.testing.assert_array_equal(read["machines"][0]["coef_"], first)
    np.testing.assert_array_equal(read["ids"], second)


class _Command:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_nothing_that_a_pickle_asks_for_is_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises((TypeError, ValueError)):
        read_attributes(stored(tmp_path, _Command(target)))
    assert not target.exists()


def test_tensors_are_read_by_their_places(tmp_path: Path) -> None:
    first, second = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([9], np.int64)
    header = {
        "__metadata__": {"format": "pt"},
        "one": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "two": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]},
    }
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + first.tobytes() + second.tobytes())
    read = read_tensors(path)
    assert set(read) == {"one", "two"}
    np.testing.assert_array_equal(read["one"], first)
    np.testing.assert_array_equal(read["two"], second)


# --- the words of the offensive texts -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    built = built_models(MODELS)["text-offensive"]
    return Tokenizer.from_file(str(MODELS / "repository" / built.triton_name / "1" / "tokenizer.json"))


def as_scikit_learn(text: str, tokenizer: Tokenizer) -> Sequence[int]:
    """The vocabulary's words, as `TfidfVectorizer` splits a text."""
    words = re.findall(r"(?u)\b\w\w+\b", text.lower())
    return [number for number in map(tokenizer.token_to_id, words) if number]


@given(text=st.text(st.sampled_from("fuckidotShlI \n.,'_-é\u0301ßİ😀1²٣Ⅷ中\u200d"), max_size=60) | st.text(max_size=60))
@example(text="You IDIOT! what's up_now, naïve café e\u0301 idiot\u0301s İdiot 😀idiot😀 12 1a")
def test_words_are_those_of_scikit_learn(text: str, tokenizer: Tokenizer) -> None:
    assert [number for number in tokenizer.encode(text).ids if number] == as_scikit_learn(text, tokenizer)
