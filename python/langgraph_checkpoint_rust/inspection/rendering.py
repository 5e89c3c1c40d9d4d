"""Plain values for people and programs to see: as JSON, and without secrets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_checkpoint_rust.inspection.plain import StoredObject, Unreadable

MASK = "***"
_SHOWN_BYTES = 16

_SECRET_WORDS = {
    "authorization",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "pwd",
    "secret",
    "secrets",
}
_SECRET_NAMES = re.compile(
    r"(?:^|_)(?:token|(?:api|access|account|auth|encryption|private|service|shared|signing|ssh)_?keys?)$"
)
"""Ends of names: `token_usage` and `max_tokens` are counts."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SHAPES = re.compile(
    r"""
      \b(?:sk|pk|rk)[-_](?:[A-Za-z]+[-_])*[A-Za-z0-9_-]{16,}       # OpenAI, Anthropic, Stripe
    | \b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,})
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                                # AWS
    | \bAIza[\w-]{30,} | \bya29\.[\w-]{20,}                        # Google
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,}                             # Slack
    | \beyJ[\w-]{8,4000}\.[\w-]{4,}\.[\w-]*                       # JSON Web Tokens
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)                              # user:password@ in a URL
    | (?i:\b(?:bearer|basic)\s+)(?=[\w.~+/=-]*[\d=])[\w.~+/=-]{8,}
    """,
    re.VERBOSE | re.DOTALL,
)
_ASSIGNED = re.compile(
    r"""
    (
      (?:\b|_|access|auth|client|id|refresh)
      (?:(?:api|access|private)[-_\s]?key|authorization|cookie|passphrase|passwd|password|pwd|secret|token)
      \\?["']? \s* [:=] \s* \\?["']?
    )
    (?!\s|\*\*\*) [^\s"',;&}\\]+
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redacted(value: Any) -> Any:
    """A copy of a plain value in which what looks like a secret is `***`.

    By key: what is stored under names such as `password`, `api_key`, `accessToken` or `Authorization`.
    By shape, within texts: API keys, access tokens, JSON Web Tokens, private keys, passwords in URLs, and
    what is assigned to such a name. It finds what is usual; it is no proof that nothing is left.

    Args:
        value: The value.

    Returns:
        A value of the same shape.

    Example:
        >>> from langgraph_checkpoint_rust.inspection import redacted
        >>> redacted({"user": "ada", "api_key": "k-1815", "note": "use ghp_" + "a" * 36, "max_tokens": 5})
        {'user': 'ada', 'api_key': '***', 'note': 'use ***', 'max_tokens': 5}
    """
    return _redacted(value, secret=False)


def _redacted(value: Any, *, secret: bool) -> Any:  # noqa: PLR0911 - one form each
    match value:
        case StoredObject(module, name, inner):
            is_secret = secret or (module.startswith("pydantic") and name.startswith("Secret"))
            return StoredObject(module, name, _redacted(inner, secret=is_secret))
        case _DeltaSnapshot():
            return _DeltaSnapshot(_redacted(value.value, secret=secret))
        case Mapping():
            return {
                _unmasked(key): _redacted(item, secret=secret or is_secret_name(key))
                for key, item in value.items()
            }
        case list() | tuple():
            return type(value)(_redacted(item, secret=secret) for item in value)
        case str():
            return (value and MASK) if secret else _masked(value)
        case bytes() | bytearray():
            text = MASK if secret and value else _masked(value.decode("latin-1"))
            return type(value)(text.encode("latin-1"))
        case int() | float() if secret and not isinstance(value, bool):
            return MASK
    return value


def is_secret_name(key: Any) -> bool:
    """Whether what is stored under such a name is kept secret, as a rule."""
    if not isinstance(key, str):
        return False
    words = [word.lower() for word in _WORD.findall(key)]
    return not _SECRET_WORDS.isdisjoint(words) or bool(_SECRET_NAMES.search("_".join(words)))


def _unmasked(key: Any) -> Any:
    """A key: it is only masked if it is a secret itself."""
    return _SHAPES.sub(MASK, key) if isinstance(key, str) else key


def _masked(text: str) -> str:
    return _ASSIGNED.sub(rf"\1{MASK}", _SHAPES.sub(MASK, text))


def as_json(value: Any) -> Any:  # noqa: PLR0911 - one form each
    r"""A plain value as `json.dumps` takes it, with stable words for what JSON has no form for.

    Args:
        value: The value.

    Returns:
        Of an object `{"class": "module.Name", "value": ...}`; of bytes `{"bytes": size, "starts": "hex"}`; of
        what cannot be read `{"unreadable": tag, "bytes": size}`; of numbers that are not finite, and of keys
        that are no texts, their text.

    Example:
        >>> from langgraph_checkpoint_rust.inspection import StoredObject, as_json
        >>> as_json({1: StoredObject("uuid", "UUID", "00ff"), "image": b"\x89PNG"})
        {'1': {'class': 'uuid.UUID', 'value': '00ff'}, 'image': {'bytes': 4, 'starts': '89504e47'}}
    """
    match value:
        case StoredObject(module, name, inner):
            return {"class": f"{module}.{name}", "value": as_json(inner)}
        case Unreadable(tag, data):
            return {"unreadable": tag, "bytes": len(data)}
        case _DeltaSnapshot():
            return {"class": "DeltaSnapshot", "value": as_json(value.value)}
        case Mapping():
            return {key if isinstance(key, str) else str(key): as_json(item) for key, item in value.items()}
        case list() | tuple():
            return [as_json(item) for item in value]
        case bytes() | bytearray():
            return {"bytes": len(value), "starts": bytes(value[:_SHOWN_BYTES]).hex()}
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
    return str(value)
