"""Which thread a request is about."""

import re
import uuid
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Header, HTTPException, Query, Response
from fastapi.requests import HTTPConnection
from langchain_core.runnables import RunnableConfig

from langgraph_checkpoint_rust.fastapi._tenants import stored_id

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@~-]{0,127}")


def thread_config(
    *,
    header: str | None = "X-Thread-Id",
    path: str | None = "thread_id",
    query: str | None = "thread_id",
    pattern: str | re.Pattern[str] = _ID,
    new: bool = True,
    tenant: Callable[..., Any] | None = None,
) -> Callable[..., RunnableConfig]:
    """Makes a dependency: the config of the thread that the request names, or of a new one.

    The id is set as a header of the response, under the name in `header`, so that a client learns that of a
    new thread. An endpoint that returns a `Response` of its own hands it on: `StreamingResponse(...,
    headers=dict(response.headers))`, with `response: Response` among its parameters.

    Args:
        header: The header with the thread's id; None to read and set none.
        path: The parameter of the path; None to read none.
        query: The parameter of the query; None to read none.
        pattern: What an id must match as a whole. By default at most 128 ASCII letters, digits and
            `. _ : @ ~ -`, beginning with a letter or digit.
        new: Whether a request that names no thread gets a new one, with a random UUID; else it is refused.
        tenant: A dependency that gives the tenant whose thread it is. The config then has the thread's id as
            it is stored, for a graph whose saver is not scoped; the client sees its own.

    Returns:
        The dependency. It answers 422 to an id that does not match, to two different ids in one request, and
        to none where `new` is False.

    Example:
        >>> from typing import Annotated
        >>> from fastapi import Depends, FastAPI
        >>> from fastapi.testclient import TestClient
        >>> from langchain_core.runnables import RunnableConfig

    from langgraph_checkpoint_rust.fastapi._tenants import stored_id
        >>> from langgraph_checkpoint_rust.fastapi import thread_config
        >>> app = FastAPI()
        >>> @app.get("/which")
        ... async def which(config: Annotated[RunnableConfig, Depends(thread_config())]) -> str:
        ...     return config["configurable"]["thread_id"]
        >>> client = TestClient(app)
        >>> client.get("/which", params={"thread_id": "ada-1"}).json()
        'ada-1'
        >>> made = client.get("/which")
        >>> made.json() == made.headers["X-Thread-Id"]
        True
    """
    valid = re.compile(pattern)
    # FastAPI needs names for parameters that are never read, too.
    in_header_of = Header(alias=header or "X-Not-Read", include_in_schema=header is not None)
    in_query_of = Query(alias=query or "not_read", include_in_schema=query is not None)

    def dependency(
        connection: HTTPConnection,
        response: Response,
        in_header: Annotated[str | None, in_header_of] = None,
        in_query: Annotated[str | None, in_query_of] = None,
        *,
        owner: Annotated[Any, Depends(tenant or _nobody)],
    ) -> RunnableConfig:
        named = {
            connection.path_params.get(path) if path else None,
            in_header if header else None,
            in_query if query else None,
        } - {None}
        thread_id = _the_one(named, valid) if named or not new else str(uuid.uuid4())
        if header:
            response.headers[header] = thread_id
        stored = thread_id if tenant is None else stored_id(owner, thread_id)
        return {"configurable": {"thread_id": stored}}

    return dependency


def _nobody() -> None:
    """Whose thread it is where there are no tenants."""


def _the_one(named: set[Any], valid: re.Pattern[str]) -> str:
    if len(named) != 1:
        problem = "the request names two threads" if named else "the request names no thread"
        raise HTTPException(422, problem)
    thread_id = str(named.pop())
    if not valid.fullmatch(thread_id):
        raise HTTPException(422, f"a thread id must match {valid.pattern}")
    return thread_id
