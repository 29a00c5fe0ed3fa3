"""A folder -> a repository on the Hub, by huggingface_hub; failures become one sentence each."""

from __future__ import annotations

from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from .errors import HubError

HOW_TO_LOG_IN = "log in with `hf auth login`, or put a token with write access into the environment variable HF_TOKEN"


def check_repository_name(repository: str) -> None:
    """Raises `HubError` unless `repository` is `name` or `owner/name` as the Hub allows it."""
    try:
        validate_repo_id(repository)
    except HFValidationError:
        valid = False
    else:
        valid = bool(repository)
    if not valid:
        raise HubError(
            f"{repository!r} is no repository name: it must be NAME or OWNER/NAME, at most 96 letters, digits, '-', "
            "'_' and '.', not starting or ending with '-' or '.', without '--' or '..', and not ending in '.git'."
        )


def upload(
    folder: str | Path,
    repository: str,
    *,
    repository_type: str = "model",
    private: bool = False,
    revision: str | None = None,
    message: str = "Upload with Encore",
    stale_files: str | list[str] | None = None,
    api: HfApi | None = None,
) -> str:
    """Uploads everything in `folder` as one commit (huggingface_hub splits only very large folders); creates the
    repository and the branch where they do not exist.

    Progress is shown by huggingface_hub. An interrupted upload is resumed by running it again: what has arrived is
    recognised by its hash and not sent twice.

    Args:
        folder: What to upload, with its sub-folders.
        repository: `NAME` (under the logged-in user) or `OWNER/NAME`.
        repository_type: `"model"` or `"space"`.
        private: Create the repository as a private one; no effect on a repository that exists.
        revision: Branch to commit to; the main branch by default.
        message: Commit message.
        stale_files: Pattern(s) of files to delete in the repository if they are not in `folder`.
        api: Client to use instead of the default one, e.g. for another endpoint or token.

    Returns:
        Address of the repository.

    Raises:
        HubError: One sentence on what failed and what helps.
    """
    check_repository_name(repository)
    api = api or HfApi()
    if not (api.token or get_token()):
        raise HubError(f"Publishing {repository} needs a Hugging Face account: {HOW_TO_LOG_IN}.")
    try:
        created = api.create_repo(
            repository,
            repo_type=repository_type,
            private=private or None,
            exist_ok=True,
            space_sdk="gradio" if repository_type == "space" else None,
        )
        if revision is not None:
            api.create_branch(created.repo_id, branch=revision, repo_type=repository_type, exist_ok=True)
        api.upload_folder(
            repo_id=created.repo_id,
            repo_type=repository_type,
            folder_path=folder,
            revision=revision,
            commit_message=message,
            delete_patterns=stale_files,
        )
    except (HTTPError, RuntimeError) as error:
        # Every error of the Hub is an HfHubHTTPError, other HTTPErrors are the connection's; in the middle of an upload
        # huggingface_hub wraps either into a RuntimeError.
        raise HubError(_explain(error, repository, api.endpoint)) from error
    except OfflineModeIsEnabled as error:
        raise HubError(f"Cannot publish {repository}: offline mode is on; unset HF_HUB_OFFLINE and try again.") from error
    return str(created)


def _explain(error: HTTPError | RuntimeError, repository: str, endpoint: str) -> str:
    """One sentence for an error that the Hub or the connection to it raised."""
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, HTTPError):
        error = error.__cause__
    if isinstance(error, RuntimeError):
        return f"The upload to {repository} failed: {str(error).strip().rstrip('.')}; run the command again to resume."
    if not isinstance(error, HfHubHTTPError):
        reason = str(error).strip().rstrip(".") or type(error).__name__
        return f"Cannot reach the Hub at {endpoint} to publish {repository}: {reason}; run the command again to resume."
    status = error.response.status_code
    detail = (error.server_message or "").strip().replace("\n", " ").rstrip(".")
    detail = f" ({detail})" if detail else ""
    if status == 401:
        return f"The Hub does not accept the token{detail}: {HOW_TO_LOG_IN}."
    if status == 403:
        return (
            f"The token may not write to {repository}{detail}: use a token with write access, and an owner that is you "
            "or an organisation you may publish for."
        )
    if status == 404:
        return f"The Hub has no repository or branch to publish {repository} to{detail}: check owner, name and revision."
    if status in (409, 412):
        return f"{repository} changed while it was being published{detail}: run the command again."
    if status == 413:
        return f"The Hub refuses the upload to {repository} because it is too large{detail}."
    if status == 429:
        return f"The Hub receives too many requests from here{detail}: wait a few minutes and run the command again."
    if status >= 500:
        return f"The Hub failed with error {status} while publishing {repository}{detail}: run the command again later."
    return f"The Hub refuses to publish {repository}: error {status}{detail}."
