"""Figures in words, as the templates write them."""

from __future__ import annotations

from datetime import datetime, timezone

_UNITS = ("KiB", "MiB", "GiB", "TiB")
_AGES = ((60, "second"), (60, "minute"), (24, "hour"), (30, "day"))


def size(count: int) -> str:
    """Bytes in a unit of three digits or less.

    Args:
        count: The bytes.

    Returns:
        Such as `1.5 MiB`.
    """
    if abs(count) < 1024:  # noqa: PLR2004
        return f"{count} B"
    amount = float(count)
    for unit in _UNITS:
        amount /= 1024
        if abs(amount) < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004
            break
    return f"{amount:.1f} {unit}" if abs(amount) < 100 else f"{amount:.0f} {unit}"  # noqa: PLR2004


def age(then: datetime, now: datetime | None = None) -> str:
    """How long ago a moment was, or its date if that is more than a month.

    Args:
        then: The moment.
        now: Seen from when; from now if None.

    Returns:
        Such as `5 minutes ago`.
    """
    amount = ((now or datetime.now(timezone.utc)) - then).total_seconds()
    if amount < 10:  # noqa: PLR2004
        return "just now"
    for most, unit in _AGES:
        if amount < most:
            return f"{int(amount)} {unit}{'' if int(amount) == 1 else 's'} ago"
        amount /= most
    return f"{then:%Y-%m-%d}"
