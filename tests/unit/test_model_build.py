"""Parts of the model builder that need no download."""

import base64
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from deploy.local.triton import STAND_IN
from deploy.triton import packages
from deploy.triton.build import read_cards
from deploy.triton.python_models import STANDSTILL
from deploy.triton.repository import add_model, drop_older
from shared.model_card import BuiltModel, ModelCard


def npm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `npm` first in the PATH that packs an archive with one file; gives the archive."""
    archive = folder / "made.tgz"
    with tarfile.open(archive, "w:gz") as content:
        member = tarfile.TarInfo("package/models/net.bin")
        member.size = 5
        content.addfile(member, io.BytesIO(b"bytes"))
    program = folder / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nwhile [ "$1" != --pack-destination ]; do shift; done\ncp {archive} "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return archive


def lock(folder: Path, integrity: str) -> Path:
    file = folder / "weights-npm.lock"
    file.write_text(f"# comment\n@some/net@1.0.0 {integrity}\n")
    return file


def test_an_archive_with_the_pinned_integrity_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha512(npm(tmp_path, monkeypatch).read_bytes()).digest()
    pinned = lock(tmp_path, f"sha512-{base64.b64encode(digest).decode()}")
    archives = packages.fetch_npm_archives(pinned, tmp_path / "node.lock", tmp_path / "out")
    packages.extract(archives["@some/net@1.0.0"], ["models/net.bin"], tmp_path / "files")
    assert (tmp_path / "files" / "models" / "net.bin").read_bytes() == b"bytes"


def test_any_other_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, monkeypatch)
    with pytest.raises(packages.PackageFetchFailed, match="integrity"):
        packages.fetch_npm_archives(lock(tmp_path, "sha512-AAAA"), tmp_path / "node.lock", tmp_path / "out")


def test_cards_are_told_apart_by_normalized_class_names() -> None:
    for card in read_cards():
        assert len({name.casefold() for name in card.classes}) == len(card.classes), card.slug


def test_cards_and_their_shapes_agree() -> None:
    cards = {card.slug: card for card in read_cards()}
    assert len(cards["detect-nanodet"].classes) == 80
    classifier = cards["classify-efficientnet"]
    assert len(classifier.classes) == 1000
    assert classifier.outputs[0].shape == (len(classifier.classes),)


def test_a_model_is_added_once_and_replaces_its_older_build(tmp_path: Path) -> None:
    card = read_cards()[0]
    built = [_add(tmp_path, card.model_copy(update={"version": version})) for version in ("1.0.0", "2.0.0", "2.0.0")]
    assert built[1] == built[2] != built[0]
    own = tmp_path / "repository" / "somebody-elses-0123456789ab"
    own.mkdir()
    drop_older(tmp_path, built[1:])
    assert {folder.name for folder in (tmp_path / "repository").iterdir()} == {built[1].triton_name, own.name}
    assert [path.stem for path in (tmp_path / "cards").glob("*.json")] == [built[1].triton_name]
    folder = tmp_path / "repository" / built[1].triton_name
    assert built[1].digest in (folder / "config.pbtxt").read_text()
    assert (folder / "1" / "model.onnx").read_bytes() == b"weights"


def test_a_model_may_have_many_files(tmp_path: Path) -> None:
    for name in ("model.py", "words"):
        (tmp_path / name).write_text(name)
    files = {"model.py": tmp_path / "model.py", "vocabulary/words.txt": tmp_path / "words"}
    built = add_model(tmp_path, read_cards()[0], files)
    version = tmp_path / "repository" / built.triton_name / "1"
    assert {path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file()} == set(files)
    assert (version / "vocabulary" / "words.txt").read_text() == "words"


def _add(folder: Path, card: ModelCard) -> BuiltModel:
    weights = folder / "weights"
    weights.write_bytes(b"weights")
    return add_model(folder, card, {"model.onnx": weights})


@pytest.mark.parametrize("code", [STAND_IN, *STANDSTILL.parent.glob("*/model.py")], ids=lambda code: code.parent.name)
def test_models_in_python_end_rather_than_answer_late(code: Path) -> None:
    assert "    @answers_in_time\n    def execute(" in code.read_text()
