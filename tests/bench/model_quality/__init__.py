"""How good the catalog's models are, on data with known answers out of packages, and how quick.

`python -m tests.bench.model_quality [SLUG ...] [--speed]`. Each figure goes through the real Triton and the worker's
own preparation and decoding. The figures of the cards and of docs/models.md are made with it.
"""
