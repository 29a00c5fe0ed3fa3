"""`python -m hub_models.hub`: publish a model, write a model card, publish the Space.

```
python -m hub_models.hub publish music-vae-mel-2bar my-name/music-vae-mel-2bar
python -m hub_models.hub publish out/my-model my-name/my-model --private --dry-run --output out/repository
python -m hub_models.hub publish wavegrad-music-22khz my-name/my-vocoder
python -m hub_models.hub card music-vae-mel-2bar --output model_cards/music-vae-mel-2bar.md
python -m hub_models.hub space my-name/encore-studio
```
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .cards import render_card
from .errors import HubError
from .repositories import publish, write_model_repository
from .spaces import publish_space, write_space
from .uploads import check_repository_name


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m hub_models.hub", description="Publish and export to the Hub.")
    commands = parser.add_subparsers(dest="command", required=True)

    model = commands.add_parser("publish", help="upload a model with its code, processor and card")
    model.add_argument(
        "name_or_path", help="a bundled model, or a folder of a model or a pipeline, written by save_pretrained"
    )
    model.add_argument("--license", help="licence of a model that is not bundled and brings no README.md, e.g. cc-by-4.0")

    card = commands.add_parser("card", help="print the model card of a bundled model")
    card.add_argument("name", help="a bundled model")
    card.add_argument("--output", type=Path, help="file to write instead of printing")

    space = commands.add_parser("space", help="upload the Gradio Space with the package and its bundled models")

    for command in (model, space):
        command.add_argument("repository", help="NAME or OWNER/NAME on the Hub; created if it does not exist")
        command.add_argument("--private", action="store_true", help="create the repository as a private one")
        command.add_argument("--revision", help="branch to commit to (default: the main branch)")
        command.add_argument("--dry-run", action="store_true", help="write the repository to --output, upload nothing")
        command.add_argument("--output", type=Path, help="with --dry-run: the folder to write, new or empty")
    return parser


def run(arguments: argparse.Namespace) -> str:
    """Carries out one command and returns the line to print."""
    if arguments.command == "card":
        card = render_card(arguments.name)
        if arguments.output is None:
            return card.rstrip("\n")
        arguments.output.write_text(card, encoding="utf-8")
        return f"Wrote {arguments.output}."

    check_repository_name(arguments.repository)
    if arguments.dry_run != (arguments.output is not None):
        raise HubError("--dry-run and --output DIR belong together: the one needs the other.")
    if arguments.dry_run:
        return dry_run(arguments)
    options = {"private": arguments.private, "revision": arguments.revision}
    if arguments.command == "publish":
        address = publish(arguments.name_or_path, arguments.repository, license=arguments.license, **options)
    else:
        address = publish_space(arguments.repository, **options)
    return f"Published {address}"


def dry_run(arguments: argparse.Namespace) -> str:
    """Writes what would be uploaded and lists it."""
    if arguments.command == "space":
        files, left_out = write_space(arguments.output), []
    else:
        written = write_model_repository(
            arguments.name_or_path,
            arguments.output,
            repository=arguments.repository,
            license=arguments.license,
        )
        files, left_out = written.files, written.left_out
    lines = [f"Wrote {arguments.output}; nothing was uploaded.", *(f"  {name}" for name in files)]
    if left_out:
        lines.append(f"Not part of the repository: {', '.join(left_out)}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, or 1 with one sentence on stderr."""
    try:
        print(run(build_parser().parse_args(arguments)))
    except (HubError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
