"""A local, read-only web page about a database, which `lgcheckpoint ui` serves.

The page shows threads and how they stand, the history of each with its forks and interrupts, state and what
changed at each step, storage by channel, and figures of the file. It needs the extra `ui`. Values are read
without importing the classes they were made of, and secrets are hidden.

The page is for the person at this machine: the server listens at 127.0.0.1 only, and answers nobody who does
not know the random token in its URL.

Example:
    >>> from langgraph_checkpoint_rust.ui import create_app
    >>> app = create_app("app.db", token="a-secret-of-my-own")
    >>> from starlette.testclient import TestClient
    >>> TestClient(app, base_url="http://127.0.0.1").get("/").status_code
    403
"""

from __future__ import annotations

import secrets
import socket
import webbrowser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from starlette.types import ASGIApp

__all__ = ["create_app", "serve"]

HOST = "127.0.0.1"


def create_app(path: str | os.PathLike[str], *, token: str, redact: bool = True) -> ASGIApp:
    """Makes the page as an ASGI app. The file is opened, read-only, by the first request.

    Args:
        path: The database file.
        token: The first part of each URL's path; requests without it get 403. Letters, digits, `-` and `_`.
        redact: Whether values that look like secrets are hidden.

    Returns:
        The app. Its lifespan closes the file.

    Raises:
        ImportError: If the extra `ui` is not installed.
        ValueError: If the token is shorter than 16 characters or has others.

    Example:
        >>> from langgraph.checkpoint.base import empty_checkpoint
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> from langgraph_checkpoint_rust.ui import create_app
        >>> from starlette.testclient import TestClient
        >>> with RustSqliteSaver("app.db") as saver:
        ...     config = {"configurable": {"thread_id": "ada-1"}}
        ...     stored = saver.put(config, empty_checkpoint(), {"source": "loop", "step": 1}, {})
        >>> app = create_app("app.db", token="a-secret-of-my-own")
        >>> with TestClient(app, base_url="http://127.0.0.1") as client:
        ...     "ada-1" in client.get("/a-secret-of-my-own/").text
        True
    """
    try:
        from langgraph_checkpoint_rust.ui._app import make_app  # noqa: PLC0415 (the extra `ui`)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return make_app(path, token, redact=redact)


def serve(
    path: str | os.PathLike[str],
    *,
    port: int = 0,
    open_browser: bool = False,
    redact: bool = True,
    announce: Callable[[str], None] = print,
) -> None:
    """Serves the page at 127.0.0.1 until Ctrl-C.

    Args:
        path: The database file, which must exist.
        port: The port; 0 for a free one.
        open_browser: Whether to open the page in the browser.
        redact: Whether values that look like secrets are hidden.
        announce: Called once with the URL, when the port is taken.

    Raises:
        ImportError: If the extra `ui` is not installed.
        CheckpointError: If the file cannot be read.
        OSError: If the port is not free.

    Example:
        >>> from langgraph_checkpoint_rust.ui import serve
        >>> serve("no-such-file.db")
        Traceback (most recent call last):
        ...
        langgraph_checkpoint_rust.errors.DatabaseOpenError: ...
    """
    try:
        from langgraph_checkpoint_rust.ui._app import check, run  # noqa: PLC0415 (the extra `ui`)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    check(path)
    token = secrets.token_urlsafe(24)
    app = create_app(path, token=token, redact=redact)
    with socket.create_server((HOST, port)) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
        announce(url)
        if open_browser:
            webbrowser.open(url)
        run(app, listener)


def _missing(error: ModuleNotFoundError) -> Exception:
    package = (error.name or "").partition(".")[0]
    if package not in {"jinja2", "starlette", "uvicorn"}:
        return error
    told = f"the page needs {package}: pip install 'langgraph-checkpoint-rust[ui]'"
    return ImportError(told, name=package)
