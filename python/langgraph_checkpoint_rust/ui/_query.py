"""What the query of a URL asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import QueryParams


def required(query: QueryParams, name: str) -> str:
    """A parameter that must be there.

    Raises:
        HTTPException: 400 if it is not.
    """
    value = query.get(name)
    if value is None:
        raise HTTPException(400, f"The address lacks “{name}”.")
    return value


def chosen(query: QueryParams, name: str, words: Sequence[str]) -> str:
    """A parameter that is one of some words; the first of them if it is not given.

    Raises:
        HTTPException: 400 if it is another word.
    """
    value = query.get(name) or words[0]
    if value not in words:
        raise HTTPException(400, f"“{name}” must be one of: {', '.join(words)}.")
    return value


def number(query: QueryParams, name: str) -> int:
    """A parameter that is a number of nine digits or less; 0 if it is not given.

    Raises:
        HTTPException: 400 if it is none.
    """
    value = query.get(name) or "0"
    if not (value.isascii() and value.isdigit() and len(value) < 10):  # noqa: PLR2004
        raise HTTPException(400, f"“{name}” must be a number.")
    return int(value)


def link(page: str, **parameters: str | int | Sequence[str] | None) -> str:
    """The relative address of a page; parameters that are None or empty are left out.

    Args:
        page: The page, `""` for the first.
        **parameters: The query.

    Returns:
        The address, which never holds the token.
    """
    given = {name: value for name, value in parameters.items() if value not in (None, "", (), [])}
    return f"./{page}?{urlencode(given, doseq=True)}" if given else f"./{page}"
