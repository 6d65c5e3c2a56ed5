"""Fixtures shared with the tests of the store."""

from tests.store.conftest import batches, engine, open_with_keys, started

__all__ = ["batches", "engine", "open_with_keys", "started"]
