"""The folder that Triton serves, and the cards beside it that tell Prelabel what is served.

    <out>/repository/<triton name>/config.pbtxt
    <out>/repository/<triton name>/1/model.onnx, or model.py and what it reads
    <out>/cards/<triton name>.json

A Triton name carries the digest of card and files, so a folder that exists is complete, and nothing in it changes but
how Triton is to schedule it: `config.pbtxt` is always the present one.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from shared.model_card import BuiltModel, ModelCard, model_digest, triton_config


def add_model(out: Path, card: ModelCard, files: Mapping[str, Path]) -> BuiltModel:
    """Put a model in, whole or not at all; nothing happens when it is there.

    `files`: what goes into the version folder, by the path there (`model.onnx`, or `model.py` and what it reads).
    """
    contents = {name: path.read_bytes() for name, path in files.items()}
    built = BuiltModel(digest=model_digest(card, contents), card=card)
    folder = out / "repository" / built.triton_name
    if not folder.exists():
        # Not inside the repository: Triton would take a half-made folder for a model.
        making = out / ".making" / built.triton_name
        shutil.rmtree(making, ignore_errors=True)
        for name, content in contents.items():
            target = making / "1" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (making / "config.pbtxt").write_text(triton_config(built))
        folder.parent.mkdir(parents=True, exist_ok=True)
        making.rename(folder)
        making.parent.rmdir()
    elif (folder / "config.pbtxt").read_text() != triton_config(built):
        write_atomically(folder / "config.pbtxt", triton_config(built))
    write_atomically(out / "cards" / f"{built.triton_name}.json", built.model_dump_json(indent=2) + "\n")
    return built


def drop_older(out: Path, current: Iterable[BuiltModel]) -> None:
    """Remove earlier builds of the built-in models; models that users registered are left alone."""
    wanted = {built.triton_name: built.card.slug for built in current}
    for card in (out / "cards").glob("*.json"):
        slug, _, _ = card.stem.rpartition("-")
        if card.stem not in wanted and slug in wanted.values():
            card.unlink()
            shutil.rmtree(out / "repository" / card.stem, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    os.replace(fresh, path)
