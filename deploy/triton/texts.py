"""Texts for the demo and the tests: paragraphs out of scikit-learn's descriptions of data sets (BSD-3-Clause).

docs/models.md says more. A paragraph is named by its page and the words it begins with, once its markup
and line ends are gone.
"""

import re
import shutil
from pathlib import Path

_PAGES = "sklearn/datasets/descr"
TEXTS = {
    "baseball.txt": ("twenty_newsgroups", "The Cleveland Indians is a major league baseball team"),
    "cancer-cells.txt": ("breast_cancer", "Features are computed from a digitized image"),
    "cancer-method.txt": ("breast_cancer", "Separating plane described above"),
    "census.txt": ("california_housing", "This dataset was derived from the 1990 U.S. census"),
    "diabetes-patients.txt": ("diabetes", "Ten baseline variables, age, sex"),
    "diabetes-paper.txt": ("diabetes", "For more information see: Bradley Efron"),
    "digits-paper.txt": ("digits", "For info on NIST preprocessing routines"),
    "digits-people.txt": ("digits", "Preprocessing programs made available by NIST"),
    "exercise.txt": ("linnerud", "The Linnerud dataset is a multi-output regression"),
    "faces-conditions.txt": ("olivetti_faces", "There are ten different images of each of 40"),
    "faces-credit.txt": ("olivetti_faces", "When using these images, please give credit"),
    "faces-dates.txt": ("olivetti_faces", "This dataset contains a set of face images"),
    "famous-people.txt": ("lfw", "This dataset is a collection of JPEG pictures of famous people"),
    "forest.txt": ("covtype", "The samples in this dataset correspond to"),
    "house-values.txt": ("california_housing", "The target variable is the median house value"),
    "households.txt": ("california_housing", "A household is a group of people"),
    "intrusion.txt": ("kddcup99", "The KDD Cup '99 dataset was created"),
    "iris.txt": ("iris", "The famous Iris database, first used by Sir R.A. Fisher"),
    "news-agency.txt": ("rcv1", "Reuters Corpus Volume I (RCV1) is an archive"),
    "newsgroups.txt": ("twenty_newsgroups", "The 20 newsgroups dataset comprises"),
    "rice-rat.txt": ("species_distributions", '"Microryzomys minutus"'),
    "species.txt": ("species_distributions", "This dataset represents the geographic distribution"),
    "wine.txt": ("wine_data", "The data is the results of a chemical analysis of wines"),
    "wine-owners.txt": ("wine_data", "Forina, M. et al, PARVUS"),
}

# Links and roles keep their words, footnotes go.
_MARKUP = (
    (re.compile(r"^\s*[-*] "), ""),
    (re.compile(r":[\w:]+:`~?([^`]+)`"), r"\1"),
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),
    (re.compile(r"``([^`]+)``"), r"\1"),
    (re.compile(r"`([^`]+)`_"), r"\1"),
    (re.compile(r"\s*\[\d+\]_"), ""),
)


def copy_texts(wheels: Path, out: Path) -> None:
    """A whole folder or none; one from an earlier time is replaced."""
    making = out.with_name(f".{out.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for name, (page, opening) in TEXTS.items():
        (making / name).write_text(_paragraph(wheels / _PAGES / f"{page}.rst", opening), encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    making.rename(out)


def _paragraph(page: Path, opening: str) -> str:
    paragraphs = [_plain(block) for block in re.split(r"\n\s*\n", page.read_text(encoding="utf-8"))]
    (found,) = (paragraph for paragraph in paragraphs if paragraph.startswith(opening))
    return found


def _plain(block: str) -> str:
    for markup, kept in _MARKUP:
        block = markup.sub(kept, block)
    return " ".join(block.split())
