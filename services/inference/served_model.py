"""A model as one claim uses it: its card, the words it may say, and what lies beside its weights."""

from dataclasses import dataclass

from tokenizers import Tokenizer

from services.inference.tensors import Array
from shared.model_card import ModelCard


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The model classes of a run: the card's, or the names of the criteria a user wrote for an open-ended model.

    `embeddings`: for an open-ended model one row of unit length for each class, FP32.
    """

    classes: tuple[str, ...]
    embeddings: Array | None = None


@dataclass(frozen=True, slots=True)
class ServedModel:
    card: ModelCard
    vocabulary: Vocabulary
    tokenizer: Tokenizer | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.vocabulary.classes

    @classmethod
    def closed(cls, card: ModelCard, tokenizer: Tokenizer | None = None) -> "ServedModel":
        """A model that says the card's classes and no others."""
        return cls(card, Vocabulary(card.classes), tokenizer)
