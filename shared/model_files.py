"""Files beside a model's weights that the worker reads itself, such as a tokenizer: where the object store has them."""

from shared.model_card import ModelCard
from shared.preprocessing import Tokenized

MAX_FILE_BYTES = 50 * 1024 * 1024


def model_file_key(digest: str, name: str) -> str:
    """The key of a file that belongs to the catalog version of this digest."""
    return f"models/{digest}/{name}"


def files_for_workers(card: ModelCard) -> tuple[str, ...]:
    """Names of the files beside the weights that a worker reads for this model."""
    how = card.preprocessing
    return (how.tokenizer,) if isinstance(how, Tokenized) else ()
