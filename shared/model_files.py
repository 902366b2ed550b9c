"""Files of models that are not in Triton's repository: where the object store has them."""

from uuid import UUID

from shared.model_card import ModelCard
from shared.preprocessing import Tokenized

MAX_FILE_BYTES = 50 * 1024 * 1024
"""Of a file beside the weights, such as a tokenizer."""

WEIGHTS, TOKENIZER, LABELS, CONFIG = "model.onnx", "tokenizer.json", "labels.txt", "config.json"
UPLOADS = "models/uploads/"


def model_file_key(digest: str, name: str) -> str:
    """The key of a file that belongs to the catalog version of this digest."""
    return f"{model_files(digest)}{name}"


def model_files(digest: str) -> str:
    """What the keys of all its files begin with."""
    return f"models/{digest}/"


def upload_key(model_id: UUID, name: str) -> str:
    """Where a file of a model lies while it is being registered."""
    return f"{UPLOADS}{model_id}/{name}"


def files_for_workers(card: ModelCard) -> tuple[str, ...]:
    """Names of the files beside the weights that a worker reads for this model."""
    how = card.preprocessing
    return (how.tokenizer,) if isinstance(how, Tokenized) else ()
