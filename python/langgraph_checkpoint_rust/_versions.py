"""Channel versions, as upstream makes them."""

from __future__ import annotations

import random


def next_version(current: str | float | None) -> str:
    """The version after `current`.

    A padded counter, so that text sorts as numbers do, and a random fraction, so that two writers of
    one step differ.
    """
    if current is None:
        counter = 0
    elif isinstance(current, int):
        counter = current
    else:
        counter = int(str(current).split(".", maxsplit=1)[0])
    return f"{counter + 1:032}.{random.random():016}"  # noqa: S311
