"""The errors of this package as HTTP responses. Their texts name files and threads, so they are not sent."""

import logging
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from langgraph_checkpoint_rust import errors
from langgraph_checkpoint_rust.fastapi._models import ProblemModel

_logger = logging.getLogger("langgraph_checkpoint_rust")

_SOON = 1
_LATER = 30


class _Answer(NamedTuple):
    status: int
    detail: str
    retry_after: int | None = None


_ANSWERS: dict[type[Exception], _Answer] = {
    errors.DatabaseBusyError: _Answer(503, "The database is busy.", _SOON),
    errors.PoolTimeoutError: _Answer(503, "The database is busy.", _SOON),
    errors.DatabaseInUseError: _Answer(503, "The database is being restored.", _LATER),
    errors.SaverClosedError: _Answer(503, "The service is stopping.", _SOON),
    errors.DatabaseOpenError: _Answer(503, "The database cannot be opened.", _LATER),
    errors.DatabaseReplacedError: _Answer(503, "The database was replaced.", _LATER),
    errors.ReadOnlyError: _Answer(503, "The database cannot be written.", _LATER),
    errors.DiskFullError: _Answer(507, "No space is left for the database."),
    errors.ConcurrentWriteError: _Answer(409, "Another run stored in the thread. Read it again and retry."),
    errors.LeaseHeldError: _Answer(409, "Another run goes on in the thread.", _SOON),
    errors.LeaseLostError: _Answer(409, "Another run took the thread over. Read it again and retry."),
    errors.ThreadDeletedError: _Answer(410, "The thread was deleted."),
    errors.MissingKeyError: _Answer(422, "The request names no thread."),
    errors.CheckpointError: _Answer(500, "The database failed."),
}


def install_error_handlers(app: FastAPI) -> None:
    """Makes an app answer this package's errors with what the client can do next.

    Each answer is JSON with a `detail`, and the `error`'s class. Its text is logged if the status is 500 or
    above, and not sent: it names files and threads. Other `ValueError`s stay what they are in your app.

    | Error | Status |
    |---|---|
    | `ConcurrentWriteError`, `LeaseHeldError`, `LeaseLostError` | 409 |
    | `ThreadDeletedError` | 410 |
    | `MissingKeyError` | 422 |
    | `DatabaseBusyError`, `PoolTimeoutError` and others that pass | 503, with `Retry-After` |
    | `DiskFullError` | 507 |
    | all others | 500 |

    Args:
        app: The app.

    Example:
        >>> from fastapi import FastAPI
        >>> from fastapi.testclient import TestClient
        >>> from langgraph_checkpoint_rust.errors import DatabaseBusyError
        >>> from langgraph_checkpoint_rust.fastapi import install_error_handlers
        >>> app = FastAPI()
        >>> install_error_handlers(app)
        >>> @app.get("/busy")
        ... async def busy():
        ...     raise DatabaseBusyError("locked for 30 s")
        >>> answer = TestClient(app).get("/busy")
        >>> answer.status_code, answer.headers["Retry-After"], answer.json()["error"]
        (503, '1', 'DatabaseBusyError')
    """

    async def handle(_: Request, error: Exception) -> JSONResponse:
        return problem_response(error)

    app.add_exception_handler(errors.CheckpointError, handle)


def problem_of(error: Exception) -> ProblemModel:
    """What may be told of an error."""
    return ProblemModel(detail=_answer_to(error).detail, error=type(error).__name__)


def problem_response(error: Exception) -> JSONResponse:
    """The response to an error."""
    answer = _answer_to(error)
    if answer.status >= 500:  # noqa: PLR2004
        _logger.error("answered %d: %s", answer.status, error)
    headers: dict[str, Any] = {}
    if answer.retry_after is not None:
        headers["Retry-After"] = str(answer.retry_after)
    return JSONResponse(problem_of(error).model_dump(), answer.status, headers)


def _answer_to(error: Exception) -> _Answer:
    return next(_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS)
