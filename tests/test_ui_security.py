"""The web page: who gets an answer, and what hostile and secret data can do there."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from helpers import checkpoint_of, config_of, id_of, put_chain
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Interrupt
from pydantic import BaseModel, SecretStr
from starlette.testclient import TestClient
from ui_support import HOST, TOKEN, Document, browser, fill

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.ui import _app, create_app
from langgraph_checkpoint_rust.ui._query import link as link_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [*_app._PAGES, *_app._STATIC]


@pytest.fixture
def client(path: Path) -> Iterator[TestClient]:
    """Asks the page of a file that is filled."""
    fill(path)
    with TestClient(create_app(path, token=TOKEN), base_url=HOST) as opened:
        yield opened


# --- who gets an answer ---


@pytest.mark.parametrize(
    "start", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%C3%A9", "/", "..", "x/" + TOKEN]
)
def test_without_the_token_there_is_nothing(client: TestClient, start: str) -> None:
    for page in PAGES:
        answer = client.get(f"/{start}/{page}?thread=rome")
        assert answer.status_code == 403
        assert "rome" not in answer.text
        assert TOKEN not in answer.text


def test_the_token_is_compared_in_constant_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(secrets, "compare_digest", compare)
    assert client.get("/guess/").status_code == 403
    assert compared == [(b"guess", TOKEN.encode())]


@pytest.mark.parametrize("token", ["", "short", "a" * 15, "a/b" * 8, "a token of the tests", "é" * 20])
def test_a_token_that_is_none_is_refused(path: Path, token: str) -> None:
    with pytest.raises(ValueError, match="token must be 16 or more"):
        create_app(path, token=token)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.1@evil", "[::1]", "", "10.0.0.1"],
)
def test_another_host_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get(f"/{TOKEN}/", headers={"host": host})
    assert answer.status_code == 403
    assert "rome" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8123", "localhost", "LOCALHOST:1"])
def test_this_machine_is_answered(client: TestClient, host: str) -> None:
    assert client.get(f"/{TOKEN}/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_reading_is_possible(client: TestClient, method: str) -> None:
    for page in PAGES:
        assert client.request(method, f"/{TOKEN}/{page}").status_code == 405


def test_each_answer_forbids_what_the_page_does_not_need(client: TestClient, path: Path) -> None:
    known = [f"/{TOKEN}/{page}?thread=rome" for page in PAGES]
    for address in [*known, "/", "/wrong/", f"/{TOKEN}/nothing", f"/{TOKEN}/thread", f"/{TOKEN}/?status=odd"]:
        headers = client.get(address).headers
        policy = dict(
            part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "set-cookie" not in headers


def test_pages_hold_nothing_inline_and_nothing_of_elsewhere(client: TestClient) -> None:
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        link = waiting.pop()
        if link in seen:
            continue
        seen.add(link)
        document = Document(client.get(f"/{TOKEN}/{link}").text)
        waiting += document.links("")
        for tag, attributes in document.elements:
            assert tag != "style"
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
            assert tag != "script" or attributes["src"] == "./refresh.js"
            for name in ("href", "src", "action"):
                assert (attributes.get(name) or "./").startswith(("./", "#main"))
    assert len(seen) > 25


# --- hostile data ---


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea></title></style><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "<!--<script>",
    "&lt;script&gt;&#x27;",
    "\u202e<b>\u0000\ud7ff\ufeff",
    "../../?thread=x#<i>",
    "]]><x>\r\nSet-Cookie: a=b",
]
TAGS = {
    "a", "b", "body", "button", "code", "dd", "details", "div", "dl", "dt", "footer", "form", "h1", "h2", "head",
    "header", "html", "img", "input", "label", "li", "link", "main", "meta", "nav", "ol", "option", "p", "path",
    "pre", "rect", "script", "section", "select", "small", "span", "summary", "svg", "table", "tbody", "td", "th",
    "thead", "time", "title", "tr", "ul",
}  # fmt: skip
"""The elements of the templates."""


def hostile_pages(thread_id: str) -> list[str]:
    thread = link_to("thread", thread=thread_id)[2:]
    return ["", thread, link_to("storage", thread=thread_id)[2:], "storage", "file", "figures"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_data_is_shown_and_not_obeyed(path: Path, text: str) -> None:
    values = {text: text, "messages": [AIMessage(text, id=text)], "nested": {text: [text, {text: text}]}}
    with RustSqliteSaver(path) as saver:
        odd: Any = {"source": text, "step": text}
        told: Any = {"source": "loop", "step": 1, text: text}
        first = saver.put(config_of(text, text), checkpoint_of(1, {}), odd, {})
        config = saver.put(first, checkpoint_of(2, values), told, {})
        writes = [(text, text), ("__interrupt__", [Interrupt(text, id=text)]), ("__error__", text)]
        saver.put_writes(config, writes, text)
        put_chain(saver, 1, text)
        saver.set_thread(text, title=text, metadata={text: text})
    seen: set[str] = set()
    with browser(path) as page:
        waiting = [*hostile_pages(text), link_to("thread", thread=text, ns=text)[2:]]
        while waiting:
            link = waiting.pop()
            if link in seen:
                continue
            seen.add(link)
            answer = page.client.get(f"/{TOKEN}/{link}")
            assert answer.status_code == 200, (link, answer.text)
            document = Document(answer.text)
            assert {tag for tag, _ in document.elements} <= TAGS
            assert [
                name for _, attributes in document.elements for name in attributes if name.startswith("on")
            ] == []
            assert sum(tag == "script" for tag, _ in document.elements) == (link == "file")
            assert all(
                (value or "./").startswith(("./", "#"))
                for tag, found in document.elements
                if tag == "a"
                for value in [found.get("href")]
            )
            waiting += document.links("")
            if link.startswith("checkpoint") and id_of(2) in link:
                visible = document.text.replace("\x00", "\ufffd")
                assert " ".join(text.replace("\x00", "\ufffd").split()) in visible
    assert any(link.startswith("checkpoint") for link in seen)
    assert any("against" in link or "ns=" in link for link in seen)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_addresses_are_refused_in_words(client: TestClient, text: str) -> None:
    for page, status in (("", 200), ("thread", 404), ("checkpoint", 404), ("channel", 404), ("storage", 404)):
        parameters = dict.fromkeys(
            ("thread", "ns", "id", "channel", "search", "before", "against", "lane"), text
        )
        answer = client.get(f"/{TOKEN}/{page}", params=parameters)
        assert answer.status_code == status
        assert {tag for tag, _ in Document(answer.text).elements} <= TAGS
    for name in ("status", "show", "order", "cursor"):
        answer = client.get(f"/{TOKEN}/", params={name: text})
        assert answer.status_code == 400
        assert "<script>alert" not in answer.text


def test_addresses_that_lack_something_are_refused(client: TestClient) -> None:
    for page, status in {
        "thread": 400,
        "checkpoint?thread=rome": 400,
        "checkpoint?thread=rome&id=none": 404,
        "channel?thread=rome&id=x&channel=y": 404,
        "channel?thread=rome&id=x&channel=y&start=-1": 400,
        "channel?thread=rome&id=x&channel=y&start=" + "9" * 40: 400,
        '?search="%3D1': 400,
        "nothing": 404,
        "thread/../x": 404,
    }.items():
        answer = client.get(f"/{TOKEN}/{page}")
        assert answer.status_code == status, page
        assert "All threads" in answer.text


# --- secrets ---


KEY = "sk-live-" + "a1b2c3d4" * 4


class Login(BaseModel):
    user: str
    password: SecretStr


def with_secrets(path: Path) -> None:
    states: list[dict[str, Any]] = [
        {"api_key": "k-1815", "messages": [HumanMessage(f"my key is {KEY}", id="1")]},
        {"api_key": "k-1816", "login": Login(user="ada", password=SecretStr("geheim-1")), "plain": "visible"},
        {
            "api_key": "k-1817",
            "login": Login(user="ada", password=SecretStr("geheim-2")),
            KEY: {"password": {"a": ["k-1818"]}},
        },
    ]
    with RustSqliteSaver(path) as saver:
        config = config_of()
        for number, state in enumerate(states, 1):
            config = saver.put(config, checkpoint_of(number, state), {"source": "loop", "step": number}, {})
        saver.put_writes(
            config,
            [("api_key", "k-1819"), ("__interrupt__", [Interrupt({"token": "k-1820"})]), ("__error__", KEY)],
            "task",
        )
        saver.set_thread("1", metadata={"password": "k-1821"})


def texts_of(path: Path, **options: Any) -> str:
    texts = []
    with browser(path, **options) as page:
        links = ["thread?thread=1", *page.get("thread?thread=1").links("checkpoint")]
        links += [f"channel?thread=1&id={id_of(3)}&channel=api_key", "storage", "file", ""]
        links += [f"checkpoint?thread=1&id={id_of(3)}&against={id_of(1)}"]
        texts = [page.get(link).text for link in links]
    return "\n".join(texts)


def test_secrets_are_hidden(path: Path) -> None:
    with_secrets(path)
    text = texts_of(path)
    assert not re.search(r"k-18\d\d|geheim|sk-live", text)
    assert "my key is ***" in text
    assert "visible" in text
    assert "Values that look like secrets are hidden" in text


def test_secrets_are_shown_if_that_is_asked_for(path: Path) -> None:
    with_secrets(path)
    text = texts_of(path, redact=False)
    assert set(re.findall(r"k-18\d\d", text)) == {f"k-18{number}" for number in range(15, 22)}
    assert KEY in text
    assert "Secrets are shown" in text
