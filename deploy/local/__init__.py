"""Prelabel on one machine: real PostgreSQL, Valkey and Triton and the three services under one supervisor."""
