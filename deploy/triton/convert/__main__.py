"""`python -m deploy.triton.convert NAME SOURCE FOLDER`: one conversion, its files into FOLDER.

To add a network: write its file with `convert(source) -> Graph`, name it in `NETWORKS`; when its texts are cut into
tokens before they reach it, also `tokenizer(source) -> str`, named in `TOKENIZERS`.
To add a model in Python: write its folder in `deploy/triton/python_models`, and name in `PYTHON_MODELS` what of the
source goes beside its `model.py`, whose `execute` is to be marked with `answers_in_time`.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.triton.convert import blazeface, efficientnet_lite, minilm, nanodet, offensive, selfie, ssdlite
from deploy.triton.convert.graph import Graph
from deploy.triton.convert.saving import save
from deploy.triton.python_models import STANDSTILL

NETWORKS: Mapping[str, Callable[[Path], Graph]] = {
    "blazeface": blazeface.convert,
    "efficientnet_lite": efficientnet_lite.convert,
    "minilm": minilm.convert,
    "nanodet": nanodet.convert,
    "offensive": offensive.convert,
    "selfie": selfie.convert,
    "ssdlite": ssdlite.convert,
}
# What is written as `tokenizer.json` beside the network; the workers read it, Triton does not.
TOKENIZERS: Mapping[str, Callable[[Path], str]] = {"minilm": minilm.tokenizer, "offensive": offensive.tokenizer}
# Name in the version folder -> path under the source.
PYTHON_MODELS: Mapping[str, Mapping[str, str]] = {
    "entities_spacy": {
        f"pipeline/{part}": part for part in ("config.cfg", "meta.json", "ner", "tok2vec", "tokenizer", "vocab")
    },
    "read_text": {
        "detection.onnx": "ch_PP-OCRv4_det_infer.onnx",
        "recognition.onnx": "ch_PP-OCRv4_rec_infer.onnx",
    },
}

CODE = Path(__file__).resolve().parents[1] / "python_models"


def main(name: str, source: str, folder: str) -> None:
    if name in NETWORKS:
        save(NETWORKS[name](Path(source)), Path(folder) / "model.onnx")
        if name in TOKENIZERS:
            (Path(folder) / "tokenizer.json").write_text(TOKENIZERS[name](Path(source)), encoding="utf-8")
    else:
        _copy_python_model(name, Path(source), Path(folder))


def _copy_python_model(name: str, source: Path, folder: Path) -> None:
    """The code of the model, and the files or folders of the source that it reads."""
    for code in [STANDSTILL, *(CODE / name).glob("*.py")]:
        shutil.copyfile(code, folder / code.name)
    for target, path in PYTHON_MODELS[name].items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        if (source / path).is_dir():
            shutil.copytree(source / path, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source / path, folder / target)


if __name__ == "__main__":
    main(*sys.argv[1:])
