"""What every answer of the Studio tells the browser: run nothing and show nothing but what is ours, tell nobody.

The page's policy allows scripts of this server and those that stand in the page itself, each by its hash. `unsafe-eval` is
what `gr.HTML` compiles its templates with. Gradio writes styles into elements, hence `unsafe-inline` for them alone.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A Space is shown in a frame of the Hub.
FRAMED_BY = "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' {hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'; " + FRAMED_BY
)
# Of all that is no page: opened by itself it can be looked at and heard, and can do nothing.
FILE_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox; " + FRAMED_BY
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), midi=(), serial=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Of a file of the cache; gradio would send back what the browser asked with as well.
FILE_HEADERS = {
    "accept-ranges", "content-disposition", "content-length", "content-range", "content-type", "date", "etag",
    "last-modified",
}  # fmt: skip
# What a browser may open in its own window; anything else is saved.
SHOWN = re.compile(r"audio/[\w.+-]+|image/(png|jpeg|gif|webp)|application/json|text/plain")
INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


class SafeHeaders:
    """Middleware that puts the headers on every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        page = bytearray()

        async def send_safely(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                headers.update(HEADERS)
                if "/file=" in scope["path"]:
                    _strip_file(headers)
                if headers.get("content-type", "").startswith("text/html"):
                    start = message
                    return
                headers["Content-Security-Policy"] = FILE_POLICY
            elif message["type"] == "http.response.body" and start is not None:
                page.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                MutableHeaders(raw=start["headers"])["Content-Security-Policy"] = page_policy(bytes(page))
                begun, start = start, None
                await send(begun)
                message = {"type": "http.response.body", "body": bytes(page), "more_body": False}
            await send(message)

        await self.app(scope, receive, send_safely)


def page_policy(page: bytes) -> str:
    """The policy of a page: of the scripts that stand in it, those that do and no others."""
    digests = (hashlib.sha256(script).digest() for script in INLINE_SCRIPT.findall(page))
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return PAGE_POLICY.format(hashes=hashes)


def _strip_file(headers: MutableHeaders) -> None:
    """A file of the cache is called what it is; what a browser could run is saved, not shown."""
    for name in {name for name in headers if name not in FILE_HEADERS | {key.lower() for key in HEADERS}}:
        del headers[name]
    kind = headers.get("content-type", "").partition(";")[0].strip()
    if not SHOWN.fullmatch(kind) and not _is_error(headers, kind):
        headers["Content-Type"] = "application/octet-stream"
        if not headers.get("content-disposition", "").startswith("attachment"):
            headers["Content-Disposition"] = "attachment"


def _is_error(headers: Any, kind: str) -> bool:
    return kind == "application/json" and "accept-ranges" not in headers
