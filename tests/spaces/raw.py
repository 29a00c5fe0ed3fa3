"""Endpoints asked without a client library, with whatever a request can hold."""

import json

import httpx

from .conftest import CHECKOUT

PATIENCE = 120.0


def connect(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, timeout=PATIENCE)


def ask(http: httpx.Client, name: str, *arguments, body: bytes | None = None, **by_name) -> tuple[str, object]:
    """Calls a named endpoint and waits for its end: `("complete", results)` or `("error", sentence)`.

    Args:
        arguments: all of them in order, or else:
        by_name: some of them by name.
        body: to send in place of the arguments.
    """
    content = json.dumps(by_name or {"data": arguments}).encode() if body is None else body
    place = f"/gradio_api/call/{'v2/' if by_name else ''}{name}"
    answer = http.post(place, content=content, headers={"Content-Type": "application/json"})
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 500, answer.text
        return "error", answer.json()["detail"]
    stream = http.get(f"/gradio_api/call/{name}/{answer.json()['event_id']}").text
    kind, _, data = stream.strip().split("\n\n")[-1].partition("\n")
    kind, data = kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))
    return kind, data["error"] if kind == "error" and isinstance(data, dict) else data


def upload(http: httpx.Client, name: str, contents: bytes) -> str:
    """Puts a file into the cache; gives its path there."""
    answer = http.post("/gradio_api/upload", files={"files": (name, contents)})
    assert answer.status_code == 200, answer.text
    return answer.json()[0]


def file(path: str) -> dict:
    """How a file is named among arguments."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def check_sentence(answer: tuple[str, object]) -> str:
    """An error in words: no traceback, no path; gives them."""
    kind, message = answer
    assert kind == "error"
    text = message if isinstance(message, str) else json.dumps(message)
    assert text
    assert text != "null"
    assert "Traceback" not in text
    assert "/tmp" not in text
    assert str(CHECKOUT) not in text
    assert len(text) < 400
    return text
