"""What a claim needs of its model before its first batch, kept for the next: tokenizers and embedded criteria."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar
from uuid import UUID

import numpy as np
from tokenizers import Tokenizer

from services.inference.decoders import embed_batch
from services.inference.failures import ModelRejected, ModelUnusable, StoreAway
from services.inference.inputs import prepare_batch
from services.inference.inputs.content import Content
from services.inference.inputs.tokenized import open_tokenizer
from services.inference.served_model import ServedModel, Vocabulary
from services.inference.servers import Servers
from services.inference.tensors import Array, BadModelOutput
from shared.errors import NotFound, TooLarge, Unavailable
from shared.model_files import MAX_FILE_BYTES, model_file_key
from shared.object_store import ObjectStore
from shared.preprocessing import Tokenized
from shared.run_configuration import RunConfiguration

_TOKENIZERS, _EMBEDDINGS = 8, 10_000

Key = TypeVar("Key")
Value = TypeVar("Value")
Result = TypeVar("Result")


class _Recent(Generic[Key, Value]):
    """The values used last, so many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._most:
            self._values.popitem(last=False)


class ServedModels:
    def __init__(self, store: ObjectStore, servers: Servers, threads: ThreadPoolExecutor) -> None:
        self._store = store
        self._servers = servers
        self._threads = threads
        self._tokenizers: _Recent[str, Tokenizer] = _Recent(_TOKENIZERS)
        self._embeddings: _Recent[tuple[str, str], Array] = _Recent(_EMBEDDINGS)

    async def served(self, configuration: RunConfiguration) -> ServedModel:
        """Raises ModelUnusable when no retry would mend it, PartAway when one may."""
        card = configuration.card
        model = ServedModel.closed(card, await self._tokenizer(configuration))
        if not card.open_ended:
            return model
        criteria = configuration.criteria or {name: name for name in card.classes}
        if not criteria:
            raise ModelUnusable("the run has no criteria")
        embedded = await self._embedded(configuration, model, list(criteria.values()))
        return ServedModel(card, Vocabulary(tuple(criteria), embedded), model.tokenizer)

    async def _tokenizer(self, configuration: RunConfiguration) -> Tokenizer | None:
        how = configuration.card.preprocessing
        if not isinstance(how, Tokenized):
            return None
        tokenizer = self._tokenizers.get(configuration.digest)
        if tokenizer is None:
            content = await self._read(model_file_key(configuration.digest, how.tokenizer))
            tokenizer = await self._in_thread(partial(open_tokenizer, content, how))
            self._tokenizers.put(configuration.digest, tokenizer)
        return tokenizer

    async def _read(self, key: str) -> bytes:
        try:
            return await self._store.get(key, MAX_FILE_BYTES)
        except (NotFound, TooLarge) as error:
            raise ModelUnusable(f"the model's file {key.rpartition('/')[2]}: {error.detail}") from error
        except Unavailable as error:
            raise StoreAway(error.detail) from error

    async def _embedded(self, configuration: RunConfiguration, model: ServedModel, texts: Sequence[str]) -> Array:
        """One row a text, in order; only those that are not known are asked for."""
        known = {text: self._embeddings.get((configuration.digest, text)) for text in texts}
        missing = [text for text, vector in known.items() if vector is None]
        size = model.card.max_batch_size
        if missing:  # what another version says must not be kept as this one's
            await self._servers.check_version(configuration)
        for start in range(0, len(missing), size):
            some = missing[start : start + size]
            for text, vector in (await self._embed(configuration, model, some)).items():
                self._embeddings.put((configuration.digest, text), vector)
                known[text] = vector
        return np.stack([vector for vector in (known[text] for text in texts) if vector is not None])

    async def _embed(
        self, configuration: RunConfiguration, model: ServedModel, texts: Sequence[str]
    ) -> Mapping[str, Array]:
        contents = [Content(UUID(int=n), text.encode(), b"", first_read=False) for n, text in enumerate(texts)]
        prepared = await self._in_thread(partial(prepare_batch, model, contents))
        if prepared.failed:
            content, error = prepared.failed[0]
            text = texts[content.data_row_id.int]
            raise ModelUnusable(f"the criterion {text[:100]!r} cannot be read: {error.detail}")
        found: dict[str, Array] = {}
        for batch in prepared.batches():
            try:
                outputs = await self._servers.infer(configuration, batch.tensors)
                vectors = embed_batch(model.card, outputs, len(batch.rows))
            except (ModelRejected, BadModelOutput) as error:
                raise ModelUnusable(f"the model does not take the criteria: {error}"[:500]) from error
            found |= {
                texts[row.content.data_row_id.int]: vector for row, vector in zip(batch.rows, vectors, strict=True)
            }
        return found

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
