"""Whose threads a request is about."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends

from langgraph_checkpoint_rust import stored_thread_id
from langgraph_checkpoint_rust.fastapi._lifespan import AnySaver, get_saver


def scoped_saver(tenant: Callable[..., Any]) -> Callable[..., AnySaver]:
    """Makes a dependency: the saver that `lifespan` opened, for the threads of the request's tenant only.

    Args:
        tenant: A dependency that gives the tenant, from what the app has authenticated.

    Returns:
        The dependency: `saver.scoped(tenant)`.

    Example:
        >>> from typing import Annotated
        >>> from fastapi import Depends, FastAPI, Header
        >>> from fastapi.testclient import TestClient
        >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
        >>> from langgraph_checkpoint_rust.fastapi import lifespan, scoped_saver
        >>> def tenant(api_key: Annotated[str, Header()]) -> str:
        ...     return {"key of acme": "acme"}[api_key]
        >>> app = FastAPI(lifespan=lifespan("app.db"))
        >>> @app.get("/count")
        ... async def count(saver: Annotated[AsyncRustSqliteSaver, Depends(scoped_saver(tenant))]) -> int:
        ...     return await saver.acount_threads()
        >>> with TestClient(app) as client:
        ...     client.get("/count", headers={"Api-Key": "key of acme"}).json()
        0
    """

    def dependency(
        saver: Annotated[AnySaver, Depends(get_saver)], name: Annotated[Any, Depends(tenant)]
    ) -> AnySaver:
        return saver.scoped(name)

    return dependency


def stored_id(tenant: Any, thread_id: str) -> str:
    """A tenant's thread as savers that are not scoped name it: the format of docs/tenants.md."""
    if not isinstance(tenant, str) or not tenant:
        raise ValueError("the tenant's dependency gave no tenant: it must return text, or refuse the request")
    return stored_thread_id(tenant, thread_id)
