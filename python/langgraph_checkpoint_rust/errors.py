"""The errors that this package raises."""

from __future__ import annotations

__all__ = ["CheckpointError", "SerializationError"]


class CheckpointError(Exception):
    """Base of all errors of this package."""


class SerializationError(CheckpointError, TypeError):
    """A value in a state cannot be serialized. The message says where it is."""
