"""Criteria in plain words: sections of Debian by the one line that describes a package, and paragraphs by subject.

The descriptions come from the lists of apt (`apt-get update`, Debian 12 when the card's figures were taken). Every
other one is for fitting the curve of the card; the figures are of the rest.
"""

import random
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.inference.decoders import decode_batch
from services.inference.decoders.base import Found
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel, Vocabulary
from services.inference.tensors import Array
from shared.annotations import Canvas
from tests.bench.model_quality.labeled import LABELED, lines
from tests.bench.model_quality.served import Bench, Figure
from tests.support.servers import TEXTS

SECTIONS: Mapping[str, str] = {
    "database": "database servers, queries and stored data",
    "editors": "editing text and source code",
    "electronics": "designing and simulating electronic circuits",
    "fonts": "fonts and typefaces",
    "games": "games to play",
    "graphics": "drawing, photos and image processing",
    "hamradio": "amateur radio",
    "httpd": "web servers",
    "localization": "translations into another language",
    "mail": "e-mail",
    "math": "mathematics and computer algebra",
    "science": "scientific research such as biology, chemistry or astronomy",
    "sound": "sound and music",
    "vcs": "version control of source code",
    "video": "films and video",
}
_OF_A_SECTION, _CRITERIA_A_TEXT, _SEED = 60, 5, 7
_NO_CONTENT = ("transitional", "dummy", "debug symbol")


@dataclass(frozen=True)
class Asked:
    """Texts with the number of the right criterion each, and the embeddings of all."""

    right: Array
    texts: Array
    criteria: Array

    @property
    def cosines(self) -> Array:
        found: Array = self.texts @ self.criteria.T
        return found

    def ranks(self) -> Array:
        """How many criteria are nearer to each text than the right one."""
        cosines = self.cosines
        found: Array = (cosines > cosines[np.arange(len(self.right)), self.right][:, None]).sum(axis=1)
        return found

    def some_criteria(self) -> Array:
        """Numbers of a few criteria for each text, the right one first."""
        chance = random.Random(_SEED)
        rows = []
        for right in self.right:
            others = [number for number in range(len(self.criteria)) if number != right]
            rows.append([right, *chance.sample(others, _CRITERIA_A_TEXT - 1)])
        return np.array(rows)

    def half(self, first: int) -> "Asked":
        return Asked(self.right[first::2], self.texts[first::2], self.criteria)


async def measure(bench: Bench) -> Figure:
    slug = "embed-minilm"
    packages, subjects = await _packages(bench, slug), await _subjects(bench, slug)
    fitted, rest = _fitted(packages.half(0)), packages.half(1)
    precision, recall, first_of_some = _of_some(bench, slug, rest)
    all_of_them, of_subjects = rest.ranks(), subjects.ranks()
    numbers = {
        "first_of_15": float((all_of_them == 0).mean()),
        "among_3_of_15": float((all_of_them < 3).mean()),
        "first_of_5": first_of_some,
        "precision_of_5": precision,
        "recall_of_5": recall,
        "subjects_first": float((of_subjects == 0).mean()),
        "descriptions": len(rest.right),
        "subjects": len(subjects.right),
        "fitted_scale": fitted[0],
        "fitted_offset": fitted[1],
    }
    threshold = bench.model(slug).card.default_threshold
    return Figure(
        slug,
        f"right criterion first {numbers['first_of_15']:.1%}, among three {numbers['among_3_of_15']:.1%} of 15; "
        f"of 5: first {first_of_some:.1%}, precision {precision:.1%} and recall {recall:.1%} at {threshold}; "
        f"subjects of paragraphs: first {numbers['subjects_first']:.0%} of 9",
        f"{len(rest.right)} descriptions of Debian 12 packages of one line by section (the card's curve was fitted on "
        f"as many others, right criterion and 4 of the rest), and {len(subjects.right)} paragraphs of scikit-learn's "
        "data sets by subject (tests/bench/labeled/topics.txt); criteria as a project's suggestion words them",
        numbers,
    )


def _of_some(bench: Bench, slug: str, asked: Asked) -> tuple[float, float, float]:
    """Precision and recall at the card's threshold, and how often the right one is first, with few criteria a text."""
    card = bench.model(slug).card
    found: list[list[Found]] = []
    for text, numbers in zip(asked.texts, asked.some_criteria(), strict=True):
        names = tuple(f"{place}" for place in range(len(numbers)))
        model = ServedModel(card, Vocabulary(names, asked.criteria[numbers]))
        found += decode_batch(model, {"embedding": text[None]}, [Placement(Canvas())])
    shown = [one for row in found for one in row if one.confidence >= card.default_threshold]
    right = sum(one.model_class == "0" for one in shown)
    first = sum(bool(row) and row[0].model_class == "0" for row in found)
    return right / len(shown), right / len(found), first / len(found)


def _fitted(asked: Asked) -> tuple[float, float]:
    """Scale and offset of the curve by logistic regression, for the decoder's mode `contrast`."""
    some = np.take_along_axis(asked.cosines, asked.some_criteria(), axis=1).astype(np.float64)
    contrast = some - (some.sum(axis=1, keepdims=True) - some) / (some.shape[1] - 1)
    right = np.zeros_like(contrast)
    right[:, 0] = 1
    known = np.stack([contrast.ravel(), np.ones(contrast.size)], axis=1)
    weights = np.zeros(2)
    for _ in range(50):
        said = 1 / (1 + np.exp(-known @ weights))
        slope = (known * (said * (1 - said))[:, None]).T @ known
        weights -= np.linalg.solve(slope, known.T @ (said - right.ravel()))
    return float(weights[0]), float(-weights[1] / weights[0])


async def _packages(bench: Bench, slug: str) -> Asked:
    chance, texts, right = random.Random(_SEED), [], []
    for number, some in enumerate(_descriptions().values()):
        chance.shuffle(some)
        texts += some[:_OF_A_SECTION]
        right += [number] * len(some[:_OF_A_SECTION])
    criteria = {section: f"This text is about {what}." for section, what in SECTIONS.items()}
    return await _asked(bench, slug, texts, right, criteria)


async def _subjects(bench: Bench, slug: str) -> Asked:
    all_lines = list(lines(LABELED / "topics.txt"))
    criteria = dict(line.split(": ", 1) for line in all_lines if ": " in line)
    labels = [line.split() for line in all_lines if ": " not in line]
    texts = [(TEXTS / name).read_text(encoding="utf-8") for name, _ in labels]
    return await _asked(bench, slug, texts, [list(criteria).index(subject) for _, subject in labels], criteria)


async def _asked(
    bench: Bench, slug: str, texts: Sequence[str], right: Sequence[int], criteria: Mapping[str, str]
) -> Asked:
    """Through the worker's own way of embedding criteria, for the texts too."""
    of_criteria = (await bench.served(slug, criteria)).vocabulary.embeddings
    of_texts = (await bench.served(slug, {f"{n}": text for n, text in enumerate(texts)})).vocabulary.embeddings
    assert of_criteria is not None
    assert of_texts is not None
    return Asked(np.array(right), of_texts, of_criteria)


def _descriptions() -> dict[str, list[str]]:
    """By section, in the order of the alphabet, each once."""
    said = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True, text=True).stdout
    found: dict[str, set[str]] = {section: set() for section in SECTIONS}
    for package in said.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in package.splitlines() if ": " in line and line[0] != " ")
        description = fields.get("Description", "")
        if description and not any(word in description.lower() for word in _NO_CONTENT):
            found.get(fields.get("Section", ""), set()).add(description)
    return {section: sorted(some) for section, some in found.items()}
