"""Checks at import how the native library was built: a missing build flag is silent otherwise."""

from __future__ import annotations

import warnings

from langgraph_checkpoint_rust._core import build_info

LEAST_SQLITE = 3_051_003
"""3.51.3: earlier versions can corrupt a database when the WAL is reset (https://sqlite.org/wal.html)."""

REQUIRED_OPTIONS = frozenset({"DEFAULT_MEMSTATUS=0", "DQS=0", "OMIT_LOAD_EXTENSION"})
FORBIDDEN_OPTIONS = frozenset(
    {"ENABLE_FTS3", "ENABLE_FTS3_PARENTHESIS", "ENABLE_FTS5", "ENABLE_MEMORY_MANAGEMENT", "ENABLE_RTREE"}
)


def check() -> None:
    """Refuses a SQLite with a known corruption bug; warns of a build that lacks its flags or is a debug one.

    Raises:
        ImportError: If the bundled SQLite is older than 3.51.3.
    """
    debug, version, options = build_info()
    if version < LEAST_SQLITE:
        raise ImportError(
            f"the bundled SQLite {version} can corrupt databases; rebuild with at least {LEAST_SQLITE}"
        )
    wrong = sorted(REQUIRED_OPTIONS.difference(options)) + sorted(FORBIDDEN_OPTIONS.intersection(options))
    if wrong:
        warnings.warn(
            "langgraph-checkpoint-rust was built without the flags in .cargo/config.toml and is slower and "
            f"less safe than it should be: {', '.join(wrong)}",
            RuntimeWarning,
            stacklevel=3,
        )
    if debug:
        warnings.warn(
            "langgraph-checkpoint-rust is a debug build and slow; build with --release",
            RuntimeWarning,
            stacklevel=3,
        )
