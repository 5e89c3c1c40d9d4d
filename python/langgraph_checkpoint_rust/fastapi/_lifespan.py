"""When the saver of an app is opened and closed, and how its endpoints get it."""

import dataclasses
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeAlias

from fastapi.requests import HTTPConnection

from langgraph_checkpoint_rust._base import SqliteSaverBase
from langgraph_checkpoint_rust.aio import AsyncRustSqliteSaver
from langgraph_checkpoint_rust.fastapi._background import BackgroundRuns
from langgraph_checkpoint_rust.settings import SqliteSettings
from langgraph_checkpoint_rust.sqlite import RustSqliteSaver

AnySaver: TypeAlias = RustSqliteSaver | AsyncRustSqliteSaver
Source: TypeAlias = AnySaver | SqliteSettings | str | os.PathLike[str] | Callable[[], AnySaver] | None
Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]

_SAVER = "checkpoint_saver"
_RUNS = "checkpoint_background_runs"
_MISSING = (
    "no saver is open: pass `lifespan=lifespan(...)` of langgraph_checkpoint_rust.fastapi to FastAPI; "
    "in tests, enter the client: `with TestClient(app) as client:`"
)


def lifespan(
    source: Source = None,
    *,
    inner: Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]] | None = None,
    grace: float = 10.0,
) -> Lifespan:
    """The lifespan of an app: the database is opened before the app serves, and closed after it served.

    A database that cannot be opened stops the start. To use it within a lifespan of your own, pass that as
    `inner`, or enter this one there: `async with lifespan(saver)(app):`.

    Args:
        source: A saver, which the app closes in the end; a function that makes one at each start, such as
            `langgraph_checkpoint_rust.get_saver`; a path; `SqliteSettings`, for the path in
            `CHECKPOINTS_DB_PATH`; or None for a saver from the environment.
        inner: The app's own lifespan. It is entered with the saver open, and left before it is closed.
        grace: Seconds that background runs get to end when the app stops, before they are cancelled.

    Returns:
        What FastAPI and Starlette take as `lifespan=`. What `inner` yields is passed on.

    Raises:
        TypeError: On start, if the source is none of these.
        ValueError: On start, if there is no path, or a variable cannot be read.
        CheckpointError: On start, if the database cannot be opened.

    Example:
        >>> from fastapi import FastAPI
        >>> from fastapi.testclient import TestClient
        >>> from langgraph_checkpoint_rust.fastapi import lifespan, router
        >>> app = FastAPI(lifespan=lifespan("app.db"))
        >>> app.include_router(router())
        >>> with TestClient(app) as client:
        ...     client.get("/threads").json()
        {'threads': [], 'cursor': None}
    """

    @asynccontextmanager
    async def opened(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        async with _made(source) as saver:
            await saver.asetup()
            runs = BackgroundRuns(saver, grace=grace)
            ours = {_SAVER: saver, _RUNS: runs}
            for name, value in ours.items():
                setattr(app.state, name, value)
            try:
                async with nullcontext() if inner is None else inner(app) as state, runs:
                    yield {**(state or {}), **ours}
            finally:
                for name in ours:
                    delattr(app.state, name)

    return opened


def _made(source: Source) -> AnySaver:
    if source is None:
        return AsyncRustSqliteSaver.from_env()
    if isinstance(source, SqliteSettings):
        return AsyncRustSqliteSaver.from_env(**dataclasses.asdict(source))
    if isinstance(source, (str, os.PathLike)):
        return AsyncRustSqliteSaver(source)
    saver = source() if callable(source) else source
    if not isinstance(saver, SqliteSaverBase):
        raise TypeError(
            f"lifespan takes a saver of this package, a path or settings, not {type(saver).__name__}"
        )
    return saver


def get_saver(connection: HTTPConnection) -> AnySaver:
    """A dependency: the saver that `lifespan` opened, in this app or in the one that it is mounted into.

    Args:
        connection: The request or WebSocket; FastAPI passes it.

    Returns:
        The saver, with all verbs, sync and async.

    Raises:
        RuntimeError: If the app has no `lifespan` of this module, or it did not start.

    Example:
        >>> from typing import Annotated
        >>> from fastapi import Depends, FastAPI
        >>> from fastapi.testclient import TestClient
        >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
        >>> from langgraph_checkpoint_rust.fastapi import get_saver, lifespan
        >>> app = FastAPI(lifespan=lifespan("app.db"))
        >>> @app.get("/count")
        ... async def count(saver: Annotated[AsyncRustSqliteSaver, Depends(get_saver)]) -> int:
        ...     return await saver.acount_threads()
        >>> with TestClient(app) as client:
        ...     client.get("/count").json()
        0
    """
    saver: AnySaver = _of(connection, _SAVER)
    return saver


def get_background_runs(connection: HTTPConnection) -> BackgroundRuns:
    """A dependency: the background runs of this process, which `lifespan` ends.

    Args:
        connection: The request or WebSocket; FastAPI passes it.

    Returns:
        The runs: see `BackgroundRuns`.

    Raises:
        RuntimeError: If the app has no `lifespan` of this module, or it did not start.

    Example:
        >>> from typing import Annotated
        >>> from fastapi import Depends, FastAPI
        >>> from langgraph_checkpoint_rust.fastapi import BackgroundRuns, get_background_runs
        >>> app = FastAPI()
        >>> @app.post("/cancel/{thread_id}")
        ... async def cancel(thread_id: str, runs: Annotated[BackgroundRuns, Depends(get_background_runs)]):
        ...     return await runs.cancel(thread_id)
    """
    runs: BackgroundRuns = _of(connection, _RUNS)
    return runs


def _of(connection: HTTPConnection, name: str) -> Any:
    # The state of the app, or, in a mounted one, that of the lifespan, which the server passes on.
    for state in (connection.app.state, connection.state):
        found = getattr(state, name, None)
        if found is not None:
            return found
    raise RuntimeError(_MISSING)
