"""The border of the Studio: what a request may ask for and how much it may bring; what goes wrong is said in a sentence.

`Border` is middleware: it lets through what the page and its clients need and nothing else that Gradio offers, no body that
is larger than allowed, and no half of one. `Page` is the `gr.Blocks` whose arguments are looked at before a component does.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import os
import re
import tempfile
import time
from typing import IO, Any

import gradio as gr
import validate
from gradio.blocks import BlocksConfig
from gradio.utils import get_function_description, get_upload_folder
from gradio_client.utils import is_file_obj, is_http_url_like
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("encore.studio")

# What the page, `gradio_client` and MCP clients ask for; run/predict is how the page presses Stop; all that has a queue is
# refused there (`api_open=False`). Not among it: other calls that go round the queue, the proxy for other Spaces, links to
# saved states, conversion of recordings, monitoring, and files that are addresses elsewhere.
ROUTES = re.compile(
    r"/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon(/\w+)?|(static|assets|svelte)/.+)?/?"
    r"|/gradio_api/(info|openapi\.json|app_id|user|token|login_check|startup-events|theme\.css|upload|upload_progress"
    r"|queue/(join|data|status)|run/predict|call/.+|cancel|reset|heartbeat/[\w-]+|component_server|mcp(/.*)?)/?"
    r"|/gradio_api/file=(?!https?:).+",
    re.DOTALL,
)
FORM_BYTES = 100_000  # of an upload, beside the file
MAX_MESSAGE_BYTES = 5_000_000
# Tools get files as base64, in their messages.
MAX_TOOL_MESSAGE_BYTES = (validate.MAX_UPLOAD_BYTES + 2) // 3 * 4 + FORM_BYTES
IN_MEMORY_BYTES, CHUNK_BYTES, DRAINED_BYTES = 1_000_000, 256_000, 400_000_000
# Files that came and files that were made live for an hour; above this nothing more is taken in.
MAX_KEPT_BYTES, COUNT_EVERY_SECONDS = 20_000_000_000, 10.0
MAX_DEPTH = 16
UNCHANGED = {"__type__": "update"}
UNREADABLE = "This request cannot be read; /gradio_api/info says what the Studio can be asked, and how."
UNCLEAR = "What was sent cannot be read; /gradio_api/info says what this action takes."


class Border:
    """Middleware that refuses what is not needed, too large or unreadable."""

    def __init__(self, app: ASGIApp, max_kept_bytes: int = MAX_KEPT_BYTES):
        self.app = app
        self.max_kept_bytes = max_kept_bytes
        self._kept, self._counted = 0, -COUNT_EVERY_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = _path(scope)
        if not ROUTES.fullmatch(path):
            await _refuse(404, "There is nothing here.", scope, receive, send)
            return
        _drop_odd_range(scope)
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._answer(scope, receive, send, path)
            return
        most = _most_bytes(path)
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as body:
            size = await _store(receive, body, most)
            if size is None:
                return
            if size > most:
                message = f"This is too large; at most {most / 1e6:.0f} MB may be sent at once."
                await _refuse(413, message, scope, receive, send)
            elif path.startswith("/gradio_api/upload") and not await self._has_room(size):
                message = "The Studio is full: it holds all the files that it can. Please try again in half an hour."
                await _refuse(507, message, scope, receive, send)
            else:
                body.seek(0)
                await self._answer(scope, _played_back(body, size, receive), send, path)

    async def _has_room(self, size: int) -> bool:
        """Whether so many bytes more may be kept; the files are counted from time to time."""
        now = time.monotonic()
        if now - self._counted >= COUNT_EVERY_SECONDS:
            self._kept, self._counted = await run_in_threadpool(_bytes_below, get_upload_folder()), now
        self._kept += size
        return self._kept <= self.max_kept_bytes

    async def _answer(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        """Hands a request on; an error that nobody caught becomes a sentence, or the end of an answer that had begun."""
        begun = ended = False

        async def send_noting(message: Message) -> None:
            nonlocal begun, ended
            begun = True
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        except Exception as error:
            # What it says may hold what was sent.
            logger.warning("%s %s failed: %s", scope["method"], path.partition("=")[0][:60], _kind(error))
            if not begun:
                await _refuse(400, UNREADABLE, scope, receive, send)
            elif not ended:
                await send({"type": "http.response.body", "body": b"", "more_body": False})


class SparingConfig(BlocksConfig):
    """What Gradio knows of the components of a page. It would describe all of them again for every session, which takes
    longer than many an action, to make links to the session's state of; there are no such links."""

    @staticmethod
    def config_for_block(block_id: int, rendered: list[int], block: Any, *renderable: Any) -> dict[str, Any]:
        """What the browser is told of a component, for which it is asked with `renderable`, even of None; else nothing."""
        return BlocksConfig.config_for_block(block_id, rendered, block, *renderable) if renderable else {}

    def __copy__(self) -> SparingConfig:
        copied = super().__copy__()
        copied.__class__ = SparingConfig
        return copied


class Page(gr.Blocks):
    """`gr.Blocks` that answers arguments of a wrong kind with a sentence, and reads no file that it was not sent."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.default_config = SparingConfig(self)

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *arguments: Any, **options: Any) -> list[Any]:
        """The arguments of an action, from what was sent.

        Raises:
            gr.Error: they are not what the action takes; says which is wrong.
        """
        try:
            checked = _checked(block_fn, inputs)
            return await super().preprocess_data(block_fn, checked, *arguments, **options)
        except gr.Error:
            raise
        except validate.StudioError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except Exception as error:
            logger.warning("The arguments of %s were refused: %s", block_fn.api_name, _kind(error))
            raise gr.Error(UNCLEAR, print_exception=False) from error

    async def postprocess_data(self, *arguments: Any, **options: Any) -> list[Any]:
        """What the browser is told of the results. Gradio 6.31 tells a component of HTML that is to stay as it is to forget
        its properties, without which its script does not run when its tab is opened later; this is not passed on."""
        told = await super().postprocess_data(*arguments, **options)
        for value in told:
            if isinstance(value, dict) and value.get("__type__") == "update" and value.get("props") == UNCHANGED:
                del value["props"]
        return told

    def get_api_info(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """What the named endpoints take and give; of each argument what the docstring of its action says, and whether it may
        be left out: where it may be None."""
        info = super().get_api_info(*arguments, **options)
        actions = {f"/{function.api_name}": function.fn for function in self.fns.values()}
        for name, endpoint in info["named_endpoints"].items():
            _, documented, _ = get_function_description(actions[name])
            signature = inspect.signature(actions[name]).parameters
            for parameter in endpoint["parameters"]:
                argument = parameter["parameter_name"]
                if text := documented.get(argument):
                    parameter["python_type"] = {**parameter["python_type"], "description": text}
                    parameter["type"] = {**parameter["type"], "description": text}
                if parameter["type"].get("type") == {}:  # any JSON; schemas of tools must name kinds
                    parameter["type"] = {**parameter["type"], "type": _kinds(signature[argument].annotation)}
                if not parameter["parameter_has_default"] and "None" in str(signature[argument].annotation):
                    parameter.update(parameter_has_default=True, parameter_default=None)
        return info


def _checked(block_fn: Any, inputs: list[Any]) -> list[Any]:
    """What was sent, when each part of it is of the kind that its component reads.

    Raises:
        StudioError: it is not.
    """
    blocks = block_fn.inputs
    # Scripts of the page may send more than is read.
    if len(inputs) < len(blocks) or (len(inputs) > len(blocks) and block_fn.api_visibility == "public"):
        needed, given = len(blocks), len(inputs)
        raise validate.StudioError(f"This action takes {needed} argument(s), and was sent {given}.")
    return [value if block.stateful else _readable(block, value) for block, value in zip(blocks, inputs, strict=False)]


def _readable(block: Any, value: Any) -> Any:
    name = f"“{getattr(block, 'label', None) or type(block).__name__}”"
    if isinstance(block, (gr.File, gr.UploadButton)):
        return _uploaded(name, value, block.file_count == "single")
    if isinstance(block, gr.HTML):  # a roll comes with its own files, which nothing reads again
        value = _without_files(value)
    _check_depth(name, value)
    if isinstance(block, gr.Number) and value is not None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise validate.StudioError(f"{name} must be a number, not {_shown(value)}.")
    elif isinstance(block, gr.Textbox) and value is not None:
        if not isinstance(value, str):
            raise validate.StudioError(f"{name} must be text, not {_shown(value)}.")
    elif isinstance(block, gr.Checkbox) and value is not None:
        if not isinstance(value, bool):
            raise validate.StudioError(f"{name} must be true or false, not {_shown(value)}.")
    elif isinstance(block, gr.JSON) and value is not None and not isinstance(value, (dict, list)):
        raise validate.StudioError(f"{name} must be an object or a list, not {_shown(value)}.")
    return value


def _uploaded(name: str, value: Any, single: bool) -> Any:
    """A file that was uploaded; the address of one here, such as an earlier result has, is as good as its path."""
    if value is None or (isinstance(value, list) and not single):
        return value if value is None else [_uploaded(name, each, True) for each in value]
    if not is_file_obj(value):
        raise validate.StudioError(f"{name} must be a file that was uploaded, not {_shown(value)}.")
    path = value["path"]
    if is_http_url_like(path):
        _, found, path = path.partition("/gradio_api/file=")
        if not found:
            raise validate.StudioError(f"{name} must be a file that was uploaded; nothing is fetched from an address.")
    return {"path": path, "orig_name": str(value.get("orig_name") or "")[:200], "meta": {"_type": "gradio.FileData"}}


def _check_depth(name: str, value: Any) -> None:
    """No more than `MAX_DEPTH` lists and objects in one another, and no file among them: files are arguments themselves."""
    layer = [value]
    for _ in range(MAX_DEPTH):
        layer = [part for part in layer if isinstance(part, (dict, list))]
        if any(is_file_obj(part) and "meta" in part for part in layer):
            raise validate.StudioError(f"{name} may hold no file.")
        layer = [each for part in layer for each in (part.values() if isinstance(part, dict) else part)]
        if not layer:
            return
    raise validate.StudioError(f"{name} holds more than {MAX_DEPTH} lists and objects in one another.")


def _without_files(value: Any, depth: int = 0) -> Any:
    """None in place of each file."""
    if depth > MAX_DEPTH or not isinstance(value, (dict, list)):
        return value
    if is_file_obj(value):
        return None
    if isinstance(value, list):
        return [_without_files(part, depth + 1) for part in value]
    return {key: _without_files(part, depth + 1) for key, part in value.items()}


def _kinds(annotation: Any) -> list[str]:
    """The kinds of JSON that an annotation such as `dict | None` allows."""
    names = {"dict": "object", "list": "array", "None": "null"}
    return [kind for name, kind in names.items() if name in str(annotation)] or list(names.values())


def _shown(value: Any) -> str:
    """A value as it is told back: whole if it is small, else by its kind."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


def _bytes_below(folder: str) -> int:
    """Of all files in a folder; those that go away meanwhile do not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name), follow_symlinks=False).st_size
    return total


def _kind(error: BaseException) -> str:
    """The name of an error, of the first in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__


def _path(scope: Scope) -> str:
    """Below where the app is mounted."""
    root = scope.get("root_path", "").rstrip("/")
    return scope["path"].removeprefix(root) if root else scope["path"]


def _most_bytes(path: str) -> int:
    if path.startswith("/gradio_api/upload"):
        return validate.MAX_SESSION_BYTES + FORM_BYTES
    return MAX_TOOL_MESSAGE_BYTES if path.startswith("/gradio_api/mcp") else MAX_MESSAGE_BYTES


def _drop_odd_range(scope: Scope) -> None:
    """A range of bytes that Gradio does not know how to read counts as none, as the standard allows."""
    scope["headers"] = [
        (name, value)
        for name, value in scope["headers"]
        if name != b"range" or re.fullmatch(rb"bytes=\d{1,15}-\d{0,15}", value.strip())
    ]


async def _store(receive: Receive, body: IO[bytes], most: int) -> int | None:
    """Puts the body of a request into a file; gives its size, which is over `most` if there is more; None: it broke off.

    Who sends too much is heard out before they are told, or they would not listen; but not for ever.
    """
    size = 0
    while size <= DRAINED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size <= most:
            body.write(part)
        if not message.get("more_body"):
            break
    return size


def _played_back(body: IO[bytes], size: int, receive: Receive) -> Receive:
    """The body, as the server would have handed it on; then what the server says."""
    left = size

    async def play() -> Message:
        nonlocal left
        if left < 0:
            return await receive()
        part = body.read(CHUNK_BYTES)
        left -= len(part)
        more = left > 0
        if not more:
            left = -1
        return {"type": "http.request", "body": part, "more_body": more}

    return play


async def _refuse(status: int, sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"detail": sentence}, status)(scope, receive, send)
