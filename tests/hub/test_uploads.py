"""Uploading a folder: one commit, to a branch if asked, without leftovers; a failure on the way is one sentence."""

import pytest

SCRIPT = """
import sys
from hub_models.hub import HubError, upload
folder, repository, *options = sys.argv[1:]
try:
    print(upload(folder, repository, stale_files="*.py", **dict(option.split("=") for option in options)))
except HubError as error:
    sys.exit(f"HubError: {error}")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "modeling_new.py").write_text("x = 1\n")
    (tmp_path / "folder" / "model.safetensors").write_bytes(b"weights")
    return tmp_path / "folder"


def test_upload_replaces_code_and_keeps_the_rest(hub, run_client, folder):
    first = run_client("-c", SCRIPT, folder, "someone/uploaded")
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == f"{hub.url}/someone/uploaded"
    repository = hub.repositories["models", "someone/uploaded"]
    repository.files()["notes.md"] = b"written on the web page"

    (folder / "modeling_new.py").rename(folder / "modeling_newer.py")
    second = run_client("-c", SCRIPT, folder, "uploaded", "message=Again")
    assert second.returncode == 0, second.stderr
    assert set(repository.files()) == {"modeling_newer.py", "model.safetensors", "notes.md"}
    assert repository.messages == ["Upload with Encore", "Again"]


def test_upload_to_a_branch(hub, run_client, folder):
    client = run_client("-c", SCRIPT, folder, "someone/branched", "revision=experiment")
    assert client.returncode == 0, client.stderr
    repository = hub.repositories["models", "someone/branched"]
    assert set(repository.files("experiment")) == {"modeling_new.py", "model.safetensors"}
    assert repository.files("main") == {}


@pytest.mark.parametrize(
    ("step", "status", "sentence"),
    [
        ("/commit/", 412, "someone/half-way changed while it was being published"),
        ("/large-files/", 403, "The token may not write to someone/half-way"),
        ("/preupload/", 401, "The Hub does not accept the token"),
    ],
)
def test_failure_on_the_way_is_one_sentence_and_leaves_nothing(hub, run_client, folder, step, status, sentence):
    hub.failures[step] = status
    try:
        client = run_client("-c", SCRIPT, folder, "someone/half-way")
    finally:
        del hub.failures[step]
    assert client.returncode == 1
    last_line = client.stderr.strip().splitlines()[-1]
    assert last_line.startswith(f"HubError: {sentence}")
    assert last_line.endswith(".")
    assert "Traceback" not in client.stderr
    assert hub.model_files("someone/half-way") == {}


def test_without_a_token_nothing_is_sent(hub, run_client, folder):
    requests = len(hub.requests)
    client = run_client("-c", SCRIPT, folder, "someone/anonymous", token=None)
    assert client.returncode == 1
    assert "hf auth login" in client.stderr
    assert len(hub.requests) == requests
