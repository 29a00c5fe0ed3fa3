"""What cannot be published is refused with one sentence, and nothing is written or uploaded."""

import shutil

import pytest
from huggingface_hub import HfApi

from hub_models.hub import HubError, upload, write_model_repository
from hub_models.hub.__main__ import main


def one_sentence(message: str) -> bool:
    return message.endswith(".") and "\n" not in message and "Traceback" not in message and len(message) < 500


@pytest.fixture
def source(checkpoint, tmp_path):
    return shutil.copytree(checkpoint, tmp_path / "source")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "model.ckpt", "extra.pkl", "WEIGHTS.PTH"])
def test_pickles_are_refused(source, tmp_path, name):
    (source / name).write_bytes(b"\x80\x04.")
    with pytest.raises(HubError, match=rf"pickle files \({name}\).*safetensors only") as caught:
        write_model_repository(source, tmp_path / "output")
    assert one_sentence(str(caught.value))
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "processor_config.json"])
def test_incomplete_folders_are_refused(source, tmp_path, name):
    (source / name).unlink()
    with pytest.raises(HubError, match=f"no complete checkpoint: {name} missing"):
        write_model_repository(source, tmp_path / "output")


@pytest.mark.parametrize("name", ["", "a/b/c", "-x", "one two/model", "a--b", "x" * 97, "model.git", "../model", "höhe"])
def test_bad_repository_names_are_refused(source, name, capsys):
    assert main(["publish", str(source), "--", name]) == 1
    message = capsys.readouterr().err.strip()
    assert "is no repository name" in message
    assert one_sentence(message)


def test_unknown_source_names_what_exists(capsys):
    assert main(["publish", "no-such-model", "someone/model"]) == 1
    message = capsys.readouterr().err.strip()
    assert "'no-such-model' is neither a folder nor a bundled model" in message
    assert one_sentence(message)


def test_output_must_be_empty(source, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "precious.txt").write_text("keep me")
    with pytest.raises(HubError, match="not an empty folder"):
        write_model_repository(source, tmp_path / "output")
    assert (tmp_path / "output" / "precious.txt").read_text() == "keep me"


def test_dry_run_needs_output(source, capsys):
    assert main(["publish", str(source), "someone/model", "--dry-run"]) == 1
    assert "--dry-run and --output" in capsys.readouterr().err


def test_invalid_card_of_the_folder_is_refused(source, tmp_path):
    (source / "README.md").write_text("---\nlicense: free-for-all\n---\n# My model\n")
    with pytest.raises(HubError, match="license 'free-for-all' is not one of"):
        write_model_repository(source, tmp_path / "output")


def test_not_logged_in_says_how_to(tmp_path, monkeypatch):
    monkeypatch.setattr("hub_models.hub.uploads.get_token", lambda: None)
    with pytest.raises(HubError, match=r"hf auth login.*HF_TOKEN") as caught:
        upload(tmp_path, "someone/model", api=HfApi(endpoint="http://127.0.0.1:9"))
    assert one_sentence(str(caught.value))


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (400, "The Hub refuses to publish someone/model: error 400 (injected 400)."),
        (401, "The Hub does not accept the token (injected 401): log in with `hf auth login`"),
        (403, "The token may not write to someone/model (injected 403): use a token with write access"),
        (404, "The Hub has no repository or branch to publish someone/model to (injected 404)"),
        (429, "The Hub receives too many requests from here (injected 429): wait a few minutes"),
        (500, "The Hub failed with error 500 while publishing someone/model (injected 500): run the command again"),
    ],
)
def test_errors_of_the_hub_become_one_sentence(failing_hub, tmp_path, status, sentence):
    failing_hub.failures["/api/repos/create"] = status
    with pytest.raises(HubError) as caught:
        upload(tmp_path, "someone/model", api=HfApi(endpoint=failing_hub.url, token="token"))
    assert str(caught.value).startswith(sentence)
    assert one_sentence(str(caught.value))


def test_unreachable_hub_becomes_one_sentence(failing_hub, tmp_path):
    address = failing_hub.url
    failing_hub.__exit__()
    with pytest.raises(HubError, match=f"Cannot reach the Hub at {address} to publish someone/model") as caught:
        upload(tmp_path, "someone/model", api=HfApi(endpoint=address, token="token"))
    assert one_sentence(str(caught.value))
