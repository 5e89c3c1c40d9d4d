"""What the endpoints answer."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from langgraph_checkpoint_rust.reports import ThreadStatus


class ThreadModel(BaseModel):
    """What is known of a thread: the fields of `langgraph_checkpoint_rust.reports.Thread`.

    Example:
        >>> from langgraph_checkpoint_rust.fastapi import ThreadModel
        >>> sorted(ThreadModel.model_fields)[:3]
        ['archived', 'bytes', 'checkpoints']
    """

    model_config = ConfigDict(from_attributes=True)

    thread_id: str
    created: datetime
    updated: datetime
    checkpoints: int
    bytes: int
    step: int | None
    source: str | None
    run_id: str | None
    status: ThreadStatus | None
    next: tuple[str, ...]
    title: str | None
    metadata: dict[str, Any]
    archived: bool
    pinned: bool


class ThreadPageModel(BaseModel):
    """A page of threads, and where the next begins; None at the end.

    Example:
        >>> from langgraph_checkpoint_rust.fastapi import ThreadPageModel
        >>> ThreadPageModel(threads=[]).cursor is None
        True
    """

    model_config = ConfigDict(from_attributes=True)

    threads: list[ThreadModel]
    cursor: str | None = None


class HistoryEntryModel(BaseModel):
    """A checkpoint of a thread, without its state.

    Example:
        >>> from langgraph_checkpoint_rust.fastapi import HistoryEntryModel
        >>> HistoryEntryModel(checkpoint_id="1f0").value is None
        True
    """

    checkpoint_id: str
    parent_checkpoint_id: str | None = None
    created: str | None = Field(default=None, description="`ts` of the checkpoint")
    step: int | None = None
    source: str | None = None
    run_id: str | None = None
    channels: list[str] = Field(default_factory=list, description="the channels that have a value")
    value: Any = Field(default=None, description="the value of the channel that was asked for, as JSON")


class HistoryPageModel(BaseModel):
    """A page of checkpoints, newest first, and where the next begins; None at the end.

    Example:
        >>> from langgraph_checkpoint_rust.fastapi import HistoryPageModel
        >>> HistoryPageModel(checkpoints=[]).cursor is None
        True
    """

    checkpoints: list[HistoryEntryModel]
    cursor: str | None = None


class HealthModel(BaseModel):
    """Whether the database can be read and written.

    Example:
        >>> from langgraph_checkpoint_rust.fastapi import HealthModel
        >>> HealthModel(status="ok").error is None
        True
    """

    status: Literal["ok", "unavailable"]
    error: str | None = Field(default=None, description="the class of the error")
    reason: str | None = Field(default=None, description="what is wrong, in words")


class ProblemModel(BaseModel):
    """An error as it is answered.

    Example:
        >>> from langgraph_checkpoint_rust.fastapi import ProblemModel
        >>> ProblemModel(detail="The thread was deleted.", error="ThreadDeletedError").error
        'ThreadDeletedError'
    """

    detail: str
    error: str | None = Field(
        default=None, description="the class of the error, if it is one of this package's"
    )
