"""The same started processes as the tests of operations have."""

from __future__ import annotations

from tests.operations.conftest import http, simulator, start

__all__ = ["http", "simulator", "start"]
