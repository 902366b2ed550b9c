"""Uploads on their way in: received into the object store, then an operation.

`upload` receives, `submit` makes the operation, `reading` cuts an upload into labels by data row and spills them to
disk in buckets, `predictions` and `labels` store one bucket a step, `report` says what became of every line.

After a `kill -9` another worker reads the upload again, and passes over the buckets that are stored.
"""
