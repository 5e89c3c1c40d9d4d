"""The pages as an ASGI app: routes, templates and what is said when something is wrong."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import (
    CheckpointError,
    DatabaseBusyError,
    DatabaseCorruptError,
    DatabaseInUseError,
    DatabaseOpenError,
    DatabaseReplacedError,
    PoolTimeoutError,
    ReadOnlyError,
    SchemaVersionError,
)
from langgraph_checkpoint_rust.ui import _figures, _format, _history, _query, _state, _threads
from langgraph_checkpoint_rust.ui._database import Database
from langgraph_checkpoint_rust.ui._security import Guard

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.types import ASGIApp

_PACKAGE = "langgraph_checkpoint_rust.ui"
_STATIC = {"style.css": "text/css", "refresh.js": "text/javascript", "icon.svg": "image/svg+xml"}
_PAGES: dict[str, tuple[str, Callable[[Database, QueryParams], dict[str, Any]]]] = {
    "": ("threads.html", _threads.threads),
    "thread": ("history.html", _history.history),
    "checkpoint": ("checkpoint.html", _state.checkpoint),
    "channel": ("channel.html", _state.channel),
    "storage": ("storage.html", _figures.storage),
    "file": ("file.html", _figures.file),
    "figures": ("figures.html", _figures.file),
}
_BUSY = (DatabaseBusyError, DatabaseInUseError, PoolTimeoutError)
_FAILURES: list[tuple[tuple[type[CheckpointError], ...], tuple[int, str, str]]] = [
    (_BUSY, (503, "The file is busy", "Another process is using it. Load the page again in a moment.")),
    ((DatabaseReplacedError,), (503, "The file was replaced", "Load the page again to see the new one.")),
    (
        (DatabaseCorruptError,),
        (
            500,
            "The file is damaged",
            "`lgcheckpoint verify` tells which threads are, `lgcheckpoint recover` saves the rest.",
        ),
    ),
    ((SchemaVersionError,), (500, "The file is of a later version", "Update langgraph-checkpoint-rust.")),
    (
        (DatabaseOpenError, ReadOnlyError),
        (500, "The file cannot be opened", "Look whether it is there and may be read."),
    ),
    ((CheckpointError,), (500, "The file cannot be read", "The terminal may say more.")),
]


class Site:
    """What the pages share: the file, the templates, and what is said when something is wrong."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader(_PACKAGE),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"size": _format.size, "age": _format.age}
        # A name that is no UTF-8 has surrogates in it.
        name = os.fsencode(database.name).decode("utf-8", "replace")
        self._templates.globals |= {"file_name": name, "link": _query.link, "redact": database.redact}

    def route(self, name: str) -> Route:
        """A page."""
        template, variables = _PAGES[name]

        def page(request: Request) -> Response:
            return self._render(template, variables(self._database, request.query_params))

        return Route(f"/{name}", page)

    def refused(self, _: Request, error: Exception) -> Response:
        """Answers a request that names what is not there, or makes no sense."""
        assert isinstance(error, HTTPException)  # noqa: S101 (what it is registered for)
        detail = "There is no such page." if error.detail == "Not Found" else error.detail
        title = {400: "This address cannot be understood", 404: "Not found"}.get(error.status_code, "Error")
        return self._told(error.status_code, title, detail)

    def failed(self, _: Request, error: Exception) -> Response:
        """Answers when the file cannot be read."""
        status, title, advice = next(told for kinds, told in _FAILURES if isinstance(error, kinds))
        if not isinstance(error, _BUSY):
            # What is at the path later may be sound: it is opened anew.
            self._database.close()
        return self._told(status, title, str(error), advice)

    def broke(self, _: Request, __: Exception) -> Response:
        """Answers when a page has a defect; the server logs it."""
        return self._told(500, "This page has a defect", "The terminal says more.")

    def _told(self, status: int, title: str, detail: str, advice: str = "") -> Response:
        return self._render("error.html", {"title": title, "detail": detail, "advice": advice}, status)

    def _render(self, template: str, variables: dict[str, Any], status: int = 200) -> Response:
        html = self._templates.get_template(template).render(variables)
        # Old JSON rows may hold lone surrogates.
        return Response(html.encode("utf-8", "replace"), status, media_type="text/html")


def make_app(path: str | os.PathLike[str], token: str, *, redact: bool) -> ASGIApp:
    """Makes the app: see `create_app`."""
    database = Database(path, redact=redact)
    site = Site(database)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        database.close()

    app = Starlette(
        routes=[Mount(f"/{token}", routes=[*map(site.route, _PAGES), *map(_static, _STATIC)])],
        exception_handlers={HTTPException: site.refused, CheckpointError: site.failed, Exception: site.broke},
        lifespan=lifespan,
    )
    return Guard(app, token)


def _static(name: str) -> Route:
    content, kind = files(_PACKAGE).joinpath("static", name).read_bytes(), _STATIC[name]
    return Route(f"/{name}", lambda _: Response(content, media_type=kind))


def check(path: str | os.PathLike[str]) -> None:
    """Opens the file once, for its error."""
    with RustSqliteSaver(os.fspath(path), read_only=True) as saver:
        saver.setup()


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Serves the app at a socket that listens, until Ctrl-C."""
    # The log of accesses would hold the token.
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, ws="none"
    )
    # What Ctrl-C raises once the server has ended.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
