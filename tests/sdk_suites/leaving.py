"""A pytest plugin for the SDKs' own tests. Those that LEFT names (a list of [ids, reason, words]) are tried as well, and
left out once the gateway has refused them in these words: so leaving out cannot hide a failure of what is served."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from typing import Any

import pytest

_LEFT: list[tuple[str, str, str]] = json.loads(os.environ["LEFT"])


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    try:
        return (yield)
    except Exception as exc:
        for tests, why, said in _LEFT:
            if hasattr(exc, "status_code") and re.search(tests, pyfuncitem.nodeid) and re.search(said, str(exc)):
                pytest.skip(why)
        raise
