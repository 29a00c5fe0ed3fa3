"""A local HTTP server that speaks as much of the Hub's API as publishing and loading a repository need.

It keeps repositories in memory. A commit is a snapshot, path -> bytes, named by a hash; a branch points to a commit.
Large files arrive as on the real Hub: announced in an LFS batch, sent by PUT, named by their SHA-256 in the commit.

The client must have `HF_ENDPOINT` set to `HubServer.url` and `HF_HUB_DISABLE_XET=1` before it imports huggingface_hub,
so tests run the client in a process of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

OWNER = "someone"
EMPTY_COMMIT = "0" * 40
LFS_SUFFIXES = (".safetensors", ".bin", ".wav", ".png")


@dataclass
class Repository:
    """One repository: its commits and where its branches point."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {EMPTY_COMMIT: {}})
    branches: dict[str, str] = field(default_factory=lambda: {"main": EMPTY_COMMIT})
    messages: list[str] = field(default_factory=list)

    def resolve(self, revision: str) -> str | None:
        """The hash that a branch name or a hash means; None if there is none."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.branches.get(revision, revision)]

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        self.messages.append(message)
        name = hashlib.sha1(f"{branch} {len(self.commits)} {sorted(files)}".encode()).hexdigest()
        self.commits[name] = files
        self.branches[branch] = name
        return name


class HubServer:
    """The server and its repositories; use as a context manager.

    Attributes:
        url: Address to give to the client as `HF_ENDPOINT`.
        repositories: `("models" | "spaces", "owner/name")` -> Repository.
        failures: Path fragment -> status: requests whose path contains the fragment get that status and nothing else.
    """

    def __init__(self):
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.failures: dict[str, int] = {}
        self.requests: list[str] = []
        handler = type("Handler", (HubRequestHandler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self._server.shutdown()
        self._server.server_close()

    def model_files(self, repository: str, revision: str = "main") -> dict[str, bytes]:
        return self.repositories["models", repository].files(revision)


class HubRequestHandler(BaseHTTPRequestHandler):
    """One request: finds its route below and answers."""

    hub: HubServer
    protocol_version = "HTTP/1.1"

    def routes(self):
        repository = r"/api/(?P<kind>models|spaces)/(?P<name>[^/]+/[^/]+)"
        return [
            ("GET", r"/api/whoami-v2", self.who_am_i),
            ("POST", r"/api/validate-yaml", self.validate_yaml),
            ("POST", r"/api/repos/create", self.create_repository),
            ("POST", repository + r"/branch/(?P<branch>.+)", self.create_branch),
            ("POST", repository + r"/preupload/(?P<revision>[^/]+)", self.announce_files),
            ("POST", repository + r"/commit/(?P<revision>[^/]+)", self.commit),
            ("GET", repository + r"/tree/(?P<revision>[^/]+)", self.list_files),
            ("GET", repository + r"(/revision/(?P<revision>[^/]+))?", self.describe_repository),
            ("POST", r"/(spaces/)?(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", self.announce_large_files),
            ("PUT", r"/large-files/(?P<digest>[0-9a-f]{64})", self.receive_large_file),
            ("(GET|HEAD)", r"/(?P<space>spaces/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
             self.send_file),
        ]  # fmt: skip

    def handle_request(self):
        path = unquote(urlparse(self.path).path)
        self.body = self.read_body()
        self.hub.requests.append(f"{self.command} {path}")
        for fragment, status in self.hub.failures.items():
            if fragment in path:
                return self.reply({"error": f"injected {status}"}, status)
        for method, pattern, answer in self.routes():
            match = re.fullmatch(pattern, path)
            if match and re.fullmatch(method, self.command):
                return answer(**{key: value for key, value in match.groupdict().items() if value is not None})
        return self.reply({"error": f"this test server has no route for {self.command} {path}"}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_request

    # Answers, in the order of a publication.

    def who_am_i(self):
        self.reply({"type": "user", "name": OWNER, "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def validate_yaml(self):
        self.reply({"errors": [], "warnings": []})

    def create_repository(self):
        wish = json.loads(self.body)
        kind = {"space": "spaces"}.get(wish.get("type"), "models")
        name = f"{wish.get('organization') or OWNER}/{wish['name']}"
        already_there = (kind, name) in self.hub.repositories
        if not already_there:
            self.hub.repositories[kind, name] = Repository(private=wish.get("visibility") == "private")
        prefix = "spaces/" if kind == "spaces" else ""
        answer = {"url": f"{self.hub.url}/{prefix}{name}", "name": name, "id": name}
        self.reply(answer, 409 if already_there else 200)

    def create_branch(self, kind, name, branch):
        if repository := self.find(kind, name):
            if branch in repository.branches:
                return self.reply({"error": "Reference already exists"}, 409)
            repository.branches[branch] = repository.branches["main"]
            self.reply({})

    def announce_files(self, kind, name, revision):
        if repository := self.find(kind, name):
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for file in json.loads(self.body)["files"]
            ]
            self.reply({"files": modes, "commitOid": repository.branches.get(revision)})

    def announce_large_files(self, name):
        objects = [
            {**wish, "actions": {"upload": {"href": f"{self.hub.url}/large-files/{wish['oid']}"}}}
            for wish in json.loads(self.body)["objects"]
        ]
        self.reply({"transfer": "basic", "objects": objects})

    def receive_large_file(self, digest):
        if hashlib.sha256(self.body).hexdigest() != digest:
            return self.reply({"error": "the content is not what was announced"}, 400)
        self.hub.large_files[digest] = self.body
        self.reply({})

    def commit(self, kind, name, revision):
        if not (repository := self.find(kind, name)):
            return
        if revision not in repository.branches:
            return self.reply({"error": f"Invalid rev id: {revision}"}, 404, {"X-Error-Code": "RevisionNotFound"})
        files, message = dict(repository.files(revision)), ""
        for line in filter(None, self.body.splitlines()):
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "header":
                message = value["summary"]
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.large_files[value["oid"]]
            elif key == "deletedFile":
                files.pop(value["path"], None)
        commit = repository.commit(revision, files, message)
        self.reply({"success": True, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})

    def list_files(self, kind, name, revision):
        if repository := self.find(kind, name, revision):
            self.reply(
                [
                    {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for path, content in repository.files(revision).items()
                ]
            )

    def describe_repository(self, kind, name, revision="main"):
        if repository := self.find(kind, name, revision):
            self.reply(
                {
                    "_id": name,
                    "id": name,
                    "sha": repository.resolve(revision),
                    "private": repository.private,
                    "tags": [],
                    "siblings": [{"rfilename": path} for path in repository.files(revision)],
                }
            )

    def send_file(self, name, revision, path, space=None):
        repository = self.find("spaces" if space else "models", name, revision)
        if not repository:
            return
        commit = repository.resolve(revision)
        headers = {"X-Repo-Commit": commit}
        content = repository.commits[commit].get(path)
        if content is None:
            return self.reply({"error": "Entry not found"}, 404, {**headers, "X-Error-Code": "EntryNotFound"})
        headers["ETag"] = f'"{hashlib.sha1(content).hexdigest()}"'
        self.reply(content, 200, headers)

    # The HTTP underneath.

    def find(self, kind, name, revision=None) -> Repository | None:
        """The repository, or None after answering that it, or its revision, does not exist."""
        repository = self.hub.repositories.get((kind, name))
        if repository is None:
            self.reply({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif revision is not None and repository.resolve(revision) is None:
            self.reply({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return None
        return repository

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def reply(self, content: dict | list | bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments) -> None:
        """Quiet."""
