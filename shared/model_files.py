"""Files beside a model's weights that the worker reads itself, such as a tokenizer: where the object store has them."""

MAX_FILE_BYTES = 50 * 1024 * 1024


def model_file_key(digest: str, name: str) -> str:
    """The key of a file that belongs to the catalog version of this digest."""
    return f"models/{digest}/{name}"
