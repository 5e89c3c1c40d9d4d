"""Which format new files get in a test: the mechanism that runs the tests on both.

Tests do not change the package: they change the default of one setting, in this process and, through
a variable that only this file reads, in those that it starts.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from langgraph_checkpoint_rust import SqliteSettings

if TYPE_CHECKING:
    import pytest

FORMATS = ["compact", "interop"]
_VARIABLE = "TESTED_FORMAT"
_DEFAULTS: dict[str, Any] = SqliteSettings.__init__.__kwdefaults__ or {}
_WORDS = {"compact": "auto", "interop": "interop"}
"""The setting that gives new files this format; `auto` opens files of the other too."""


def use(monkeypatch: pytest.MonkeyPatch, tested: str) -> None:
    """Gives new files this format, here and in processes started from here, until the test ends."""
    monkeypatch.setitem(_DEFAULTS, "format", _WORDS[tested])
    monkeypatch.setenv(_VARIABLE, tested)


def tested() -> str:
    """The format that new files get now."""
    return "interop" if _DEFAULTS["format"] == "interop" else "compact"


# In a process that a test started.
if _VARIABLE in os.environ:
    _DEFAULTS["format"] = _WORDS[os.environ[_VARIABLE]]
