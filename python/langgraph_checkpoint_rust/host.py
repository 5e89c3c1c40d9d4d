"""How the host of an app runs a saver: what goes by itself, what is told, what is done when something fails.

Example:
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> saver = RustSqliteSaver(":memory:", slow_operation_threshold=0.5)
    >>> saver.host.slow_operation_threshold
    0.5
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from langgraph_checkpoint_rust import _config
from langgraph_checkpoint_rust.mirror import MirrorPolicy
from langgraph_checkpoint_rust.retention import policy_of
from langgraph_checkpoint_rust.retry import RetryPolicy
from langgraph_checkpoint_rust.settings import ENVIRONMENT_PREFIX, SqliteOptions, SqliteSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langgraph_checkpoint_rust._rows import Policy
    from langgraph_checkpoint_rust.events import OnEvent
    from langgraph_checkpoint_rust.mirror import MirrorTarget
    from langgraph_checkpoint_rust.retention import RetentionPolicy, TimeToLive

__all__ = ["HostOptions", "HostSettings", "SaverOptions", "WarnAtBytes"]

_MOST_BYTES = 2**62


class WarnAtBytes(TypedDict, total=False):
    """Sizes in bytes above which there is a warning. What is left out is not watched.

    Attributes:
        file: Of the database file.
        wal: Of the write-ahead log.
    """

    file: int
    wal: int


class HostOptions(TypedDict, total=False):
    """The keyword arguments of a saver that are about its host. See `HostSettings`."""

    retention: RetentionPolicy | None
    ttl: TimeToLive | None
    slow_operation_threshold: float | None
    on_event: OnEvent | None
    warn_at_bytes: WarnAtBytes | None
    retry: RetryPolicy | None
    fallback: Literal["memory"] | None
    mirror: MirrorTarget | MirrorPolicy | None


class SaverOptions(SqliteOptions, HostOptions, total=False):
    """All keyword arguments of a saver beside `serde` and `settings`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostSettings:
    """What a host asks of a saver. Each field is a keyword of the saver.

    Attributes:
        retention: What a thread of the engine deletes now and then; nothing if None.
        ttl: How long threads live; for ever if None.
        slow_operation_threshold: Seconds, serialization included, above which a verb is logged as a warning
            by `langgraph_checkpoint_rust.slow`; never if None.
        on_event: Called with an `Event` for each verb and whatever else happens, by the thread or the task
            that made it happen, with nothing locked. What it raises is logged once, and reaches nobody else.
            Verbs that it calls make no events.
        warn_at_bytes: Sizes above which `langgraph_checkpoint_rust.size` warns, once for each time that the
            size is exceeded anew. Looked at after verbs, at most once a second.
        retry: When a call that failed is made again; never if None.
        fallback: `"memory"`: where the database cannot be opened or written, after retries, verbs go on in an
            empty database in memory, until `end_fallback`. See `fallback`. None: they raise.
        mirror: A path, a saver, or a `MirrorPolicy`: what is stored goes there too, in order, off the
            caller's path. See `mirror`.

    Raises:
        TypeError: If a value is of the wrong type.
        ValueError: If a value is out of range.

    Example:
        >>> from langgraph_checkpoint_rust.host import HostSettings
        >>> HostSettings(warn_at_bytes={"wal": 256 * 2**20}).warn_at_bytes
        {'wal': 268435456}
    """

    retention: RetentionPolicy | None = None
    ttl: TimeToLive | None = None
    slow_operation_threshold: float | None = None
    on_event: OnEvent | None = None
    warn_at_bytes: WarnAtBytes | None = None
    retry: RetryPolicy | None = None
    fallback: Literal["memory"] | None = None
    mirror: MirrorTarget | MirrorPolicy | None = None

    def __post_init__(self) -> None:
        self.policy()
        if self.slow_operation_threshold is not None:
            _config.seconds("slow_operation_threshold", self.slow_operation_threshold)
        if self.on_event is not None and not callable(self.on_event):
            raise TypeError(f"on_event must be callable, not {type(self.on_event).__name__}")
        _check_sizes(self.warn_at_bytes)
        self.mirror_policy()
        if self.retry is not None and not isinstance(self.retry, RetryPolicy):
            raise TypeError(f"retry must be a RetryPolicy, not {type(self.retry).__name__}")
        if self.fallback not in (None, "memory"):
            raise ValueError(f'fallback must be "memory" or None, not {self.fallback!r}')

    @property
    def is_watching(self) -> bool:
        """Whether something is to be told of verbs."""
        watched = (self.slow_operation_threshold, self.on_event, self.warn_at_bytes)
        return any(setting is not None for setting in watched)

    def mirror_policy(self) -> MirrorPolicy | None:
        """The mirror, with its limits."""
        if self.mirror is None or isinstance(self.mirror, MirrorPolicy):
            return self.mirror
        return MirrorPolicy(self.mirror)

    def policy(self) -> Policy | None:
        """What goes by itself, as the native half takes it."""
        return policy_of(self.retention, self.ttl)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> HostSettings:
        """The defaults, changed by variables: those fields that a variable can say.

        `LANGGRAPH_CHECKPOINT_SLOW_OPERATION_THRESHOLD` in seconds; `LANGGRAPH_CHECKPOINT_WARN_AT_FILE_BYTES`
        and `LANGGRAPH_CHECKPOINT_WARN_AT_WAL_BYTES`; `LANGGRAPH_CHECKPOINT_RETRY_DEADLINE` in seconds, of a
        `RetryPolicy` with no other limit; `LANGGRAPH_CHECKPOINT_FALLBACK`; `LANGGRAPH_CHECKPOINT_MIRROR`, a
        path.

        Args:
            environ: The variables; `os.environ` if None.

        Returns:
            The settings.

        Raises:
            ValueError: If a variable cannot be read; the message names it.

        Example:
            >>> from langgraph_checkpoint_rust.host import HostSettings
            >>> environ = {"LANGGRAPH_CHECKPOINT_WARN_AT_WAL_BYTES": "1000000"}
            >>> HostSettings.from_env(environ).warn_at_bytes
            {'wal': 1000000}
        """
        environ = os.environ if environ is None else environ
        sizes: WarnAtBytes = {}
        file, wal = _number(environ, "WARN_AT_FILE_BYTES", int), _number(environ, "WARN_AT_WAL_BYTES", int)
        if file is not None:
            sizes["file"] = file
        if wal is not None:
            sizes["wal"] = wal
        deadline = _number(environ, "RETRY_DEADLINE", float)
        fallback: Any = environ.get(f"{ENVIRONMENT_PREFIX}FALLBACK", "").strip() or None
        return cls(
            slow_operation_threshold=_number(environ, "SLOW_OPERATION_THRESHOLD", float),
            warn_at_bytes=sizes or None,
            retry=None if deadline is None else RetryPolicy(attempts=None, deadline=deadline),
            fallback=fallback,
            mirror=environ.get(f"{ENVIRONMENT_PREFIX}MIRROR", "").strip() or None,
        )

    def as_options(self) -> HostOptions:
        """The fields that differ from their defaults, as keywords of a saver.

        Returns:
            The keywords.

        Example:
            >>> from langgraph_checkpoint_rust.host import HostSettings
            >>> HostSettings(slow_operation_threshold=1.0).as_options()
            {'slow_operation_threshold': 1.0}
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        given: Any = {name: value for name, value in values.items() if value is not None}
        options: HostOptions = given
        return options

    def replace(self, options: HostOptions) -> HostSettings:
        """A copy with some settings changed.

        Args:
            options: The settings to change, by name.

        Returns:
            The new settings.

        Example:
            >>> from langgraph_checkpoint_rust.host import HostSettings
            >>> HostSettings().replace({"slow_operation_threshold": 1.0}).slow_operation_threshold
            1.0
        """
        return dataclasses.replace(self, **options)


_NAMES = frozenset(field.name for field in dataclasses.fields(HostSettings))
_SQLITE_NAMES = frozenset(field.name for field in dataclasses.fields(SqliteSettings))


def parted(options: SaverOptions) -> tuple[SqliteOptions, HostOptions]:
    """The options of SQLite, and those of the host.

    Raises:
        TypeError: If a name is neither's.
    """
    unknown = options.keys() - _NAMES - _SQLITE_NAMES
    if unknown:
        known = ", ".join(sorted(_NAMES | _SQLITE_NAMES))
        raise TypeError(f"unknown settings: {', '.join(sorted(unknown))}; known: {known}")
    sqlite: Any = {name: value for name, value in options.items() if name in _SQLITE_NAMES}
    host: Any = {name: value for name, value in options.items() if name in _NAMES}
    return sqlite, host


def _check_sizes(sizes: Any) -> None:
    if sizes is None:
        return
    if not isinstance(sizes, dict):
        raise TypeError(f"warn_at_bytes must be a dict, not {type(sizes).__name__}")
    unknown = sizes.keys() - WarnAtBytes.__annotations__.keys()
    if unknown:
        known = ", ".join(WarnAtBytes.__annotations__)
        raise ValueError(f"unknown in warn_at_bytes: {', '.join(sorted(map(str, unknown)))}; known: {known}")
    for name, size in sizes.items():
        _config.whole_number(f"warn_at_bytes[{name!r}]", size, 1, _MOST_BYTES)


def _number(environ: Mapping[str, str], name: str, kind: type[Any]) -> Any:
    variable = ENVIRONMENT_PREFIX + name
    text = environ.get(variable, "").strip()
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{variable}={text!r} is no {kind.__name__}") from None
