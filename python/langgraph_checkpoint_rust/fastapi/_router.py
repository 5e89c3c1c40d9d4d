"""Endpoints for threads, health and metrics."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.params import Depends as DependsParameter
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from langgraph.checkpoint.base import CheckpointTuple
from pydantic_core import to_jsonable_python

from langgraph_checkpoint_rust.errors import CheckpointError
from langgraph_checkpoint_rust.fastapi._errors import problem_of, problem_response
from langgraph_checkpoint_rust.fastapi._health import check
from langgraph_checkpoint_rust.fastapi._lifespan import AnySaver, get_saver
from langgraph_checkpoint_rust.fastapi._models import (
    HealthModel,
    HistoryEntryModel,
    HistoryPageModel,
    ProblemModel,
    ThreadModel,
    ThreadPageModel,
)
from langgraph_checkpoint_rust.fastapi._tenants import scoped_saver
from langgraph_checkpoint_rust.metrics import prometheus_text
from langgraph_checkpoint_rust.reports import ThreadStatus

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

_MOST_PER_PAGE = 200
_FILTER = "what the metadata of the threads must match, as a JSON object"
_PROBLEM: dict[str, Any] = {"model": ProblemModel}

Dependencies = Sequence[DependsParameter]
ThreadId = Annotated[str, Path(min_length=1, max_length=255)]
Limit = Annotated[int, Query(ge=1, le=_MOST_PER_PAGE)]


class _Route(APIRoute):
    """Answers this package's errors, also where the app has no handlers for them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except CheckpointError as error:
                return problem_response(error)

        return handle


def router(
    *,
    tenant: Callable[..., Any] | None = None,
    dependencies: Dependencies = (),
    operations_dependencies: Dependencies = (),
    health_timeout: float = 5.0,
) -> APIRouter:
    """Makes a router for what an app tells of its threads and of itself.

    | Endpoint | What |
    |---|---|
    | `GET /threads` | threads, as `list_threads` lists them; `filter` is a JSON object |
    | `GET /threads/{thread_id}` | one of them; its `status` tells how a run stands |
    | `GET /threads/{thread_id}/history` | its checkpoints, newest first; with `channel`, its values too |
    | `DELETE /threads/{thread_id}` | deletes it; one that is unknown is no error |
    | `GET /healthz` | reads and writes the database; 503 with a reason if that fails |
    | `GET /metrics` | the figures of this process, for Prometheus |

    Args:
        tenant: A dependency that gives the tenant whose threads these are, from what the app has
            authenticated; None for the threads of all.
        dependencies: For the endpoints of threads: who may see and delete them, for instance.
        operations_dependencies: For the others.
        health_timeout: Seconds after which `/healthz` answers that it cannot read or write.

    Returns:
        The router, for `app.include_router`. The app needs `lifespan`.

    Example:
        >>> from fastapi import Depends, FastAPI, HTTPException
        >>> from fastapi.testclient import TestClient
        >>> from langgraph_checkpoint_rust.fastapi import lifespan, router
        >>> def only_with_key(key: str = ""):
        ...     if key != "secret":
        ...         raise HTTPException(401)
        >>> app = FastAPI(lifespan=lifespan("app.db"))
        >>> app.include_router(router(dependencies=[Depends(only_with_key)]))
        >>> with TestClient(app) as client:
        ...     client.get("/threads").status_code, client.get("/threads?key=secret").status_code
        ...     client.get("/healthz").json()["status"]
        (401, 200)
        'ok'
    """
    made = APIRouter()
    made.include_router(_threads(tenant, dependencies))
    made.include_router(_operations(operations_dependencies, health_timeout))
    return made


def _threads(tenant: Callable[..., Any] | None, dependencies: Dependencies) -> APIRouter:
    threads = APIRouter(
        prefix="/threads", tags=["threads"], dependencies=list(dependencies), route_class=_Route
    )
    saver_of = get_saver if tenant is None else scoped_saver(tenant)
    Saver = Annotated[AnySaver, Depends(saver_of)]  # noqa: N806

    @threads.get("", responses={400: _PROBLEM, 503: _PROBLEM})
    async def list_threads(  # noqa: PLR0917 - FastAPI passes them by name
        saver: Saver,
        filter: Annotated[str | None, Query(description=_FILTER)] = None,
        status: ThreadStatus | None = None,
        archived: Literal["false", "true", "any"] = "false",
        order_by: Literal["updated", "created", "thread_id"] = "updated",
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> ThreadPageModel:
        """Lists threads, without their state."""
        try:
            page = await saver.alist_threads(
                filter=None if filter is None else _object(filter),
                status=status,
                archived=None if archived == "any" else archived == "true",
                order_by=order_by,
                limit=limit,
                cursor=cursor,
            )
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return ThreadPageModel.model_validate(page)

    @threads.get("/{thread_id}", responses={404: _PROBLEM, 503: _PROBLEM})
    async def get_thread(saver: Saver, thread_id: ThreadId) -> ThreadModel:
        """Tells how a thread stands, without its state."""
        thread = await saver.aget_thread(thread_id)
        if thread is None:
            raise HTTPException(404, "There is no such thread.")
        return ThreadModel.model_validate(thread)

    @threads.get("/{thread_id}/history", responses={404: _PROBLEM, 503: _PROBLEM})
    async def get_history(
        saver: Saver,
        thread_id: ThreadId,
        channel: Annotated[str | None, Query(description="adds the values of this channel")] = None,
        limit: Limit = 20,
        cursor: str | None = None,
    ) -> HistoryPageModel:
        """Lists the checkpoints of a thread, newest first."""
        if await saver.aget_thread(thread_id) is None:
            raise HTTPException(404, "There is no such thread.")
        config: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        before: RunnableConfig | None = {"configurable": {"checkpoint_id": cursor}} if cursor else None
        found = [entry async for entry in saver.alist(config, before=before, limit=limit + 1)]
        entries = [_entry_of(entry, channel) for entry in found[:limit]]
        more = len(found) > limit
        return HistoryPageModel(checkpoints=entries, cursor=entries[-1].checkpoint_id if more else None)

    @threads.delete("/{thread_id}", status_code=204, responses={503: _PROBLEM})
    async def delete_thread(saver: Saver, thread_id: ThreadId) -> None:
        """Deletes a thread with all that is stored of it."""
        await saver.adelete_thread(thread_id)

    return threads


def _operations(dependencies: Dependencies, timeout: float) -> APIRouter:
    operations = APIRouter(tags=["operations"], dependencies=list(dependencies))

    @operations.get("/healthz", responses={503: {"model": HealthModel}}, response_model_exclude_none=True)
    async def healthz(saver: Annotated[AnySaver, Depends(get_saver)], response: Response) -> HealthModel:
        """Reads and writes the database."""
        try:
            await check(saver, timeout)
        except CheckpointError as error:  # first, since one of them is a TimeoutError too
            problem = problem_of(error)
        except asyncio.TimeoutError:
            problem = ProblemModel(detail=f"The database did not answer for {timeout:g} seconds.")
        else:
            return HealthModel(status="ok")
        response.status_code = 503
        return HealthModel(status="unavailable", error=problem.error, reason=problem.detail)

    @operations.get("/metrics", response_class=PlainTextResponse)
    def metrics(saver: Annotated[AnySaver, Depends(get_saver)]) -> PlainTextResponse:
        """Tells the figures of this process in Prometheus' text format."""
        # Workers answer in turn: without the label their counters would seem to jump.
        text = prometheus_text(saver, {"worker": str(os.getpid())})
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    return operations


def _object(text: str) -> dict[str, Any]:
    """A JSON object. Raises a ValueError for what is none."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("filter must be a JSON object")  # noqa: TRY004 - it is the client's
    return found


def _entry_of(found: CheckpointTuple, channel: str | None) -> HistoryEntryModel:
    checkpoint, metadata, parent = found.checkpoint, found.metadata, found.parent_config
    values = checkpoint.get("channel_values") or {}
    value = None if channel is None else values.get(channel)
    return HistoryEntryModel(
        checkpoint_id=found.config["configurable"]["checkpoint_id"],
        parent_checkpoint_id=parent["configurable"]["checkpoint_id"] if parent else None,
        created=checkpoint.get("ts"),
        step=metadata.get("step"),
        source=metadata.get("source"),
        run_id=metadata.get("run_id"),
        channels=sorted(values),
        value=to_jsonable_python(value, serialize_unknown=True, bytes_mode="base64"),
    )
