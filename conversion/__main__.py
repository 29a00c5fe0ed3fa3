"""python -m conversion SOURCE --checkpoint PATH [--config NAME] --output DIR [--push-to-hub REPO]

A source that can be written back: python -m conversion SOURCE --export FOLDER --output FILE
"""

import argparse
import sys
from pathlib import Path
from types import ModuleType

from . import hf_jukebox, lmnt_wavegrad, magenta_js, magenta_music_vae, magenta_score2perf, openai_jukebox
from .errors import ConversionError

SOURCES = {
    "magenta-music-vae": magenta_music_vae,
    "magenta-js": magenta_js,
    "magenta-score2perf": magenta_score2perf,
    "lmnt-wavegrad": lmnt_wavegrad,
    "openai-jukebox": openai_jukebox,
    "hf-jukebox": hf_jukebox,
}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    module = SOURCES[options.source]
    exporting = getattr(options, "export", None)
    try:
        notes = _export(module, options) if exporting else _convert(module, options)
    except (ConversionError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for note in notes:
        print(note)
    print(f"Wrote {options.output}")
    if options.push_to_hub:
        from hub_models.hub.__main__ import main as hub

        return hub(["publish", str(options.output), options.push_to_hub, "--license", module.LICENSE])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m conversion", description="Convert an original checkpoint to a Hub folder."
    )
    sources = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    for name, module in SOURCES.items():
        source = sources.add_parser(name, help=module.__doc__.partition("\n")[0], description=module.__doc__)
        inputs = source.add_mutually_exclusive_group(required=True)
        inputs.add_argument("--checkpoint", type=Path, help=module.CHECKPOINT_HELP)
        if hasattr(module, "export"):
            inputs.add_argument("--export", type=Path, metavar="FOLDER", help=module.EXPORT_HELP)
        if module.CONFIG_NAMES:
            source.add_argument(
                "--config", required=True, choices=module.CONFIG_NAMES, help="name of the original configuration"
            )
        for option, settings in _options(module).items():
            source.add_argument(f"--{option.replace('_', '-')}", **settings)
        source.add_argument("--output", type=Path, required=True, help="folder to write; must be new or empty")
        source.add_argument("--push-to-hub", metavar="REPO", help="also publish the result, for example me/my-model")
    return parser


def _options(module: ModuleType) -> dict[str, dict]:
    """What a source asks beside the common arguments: keyword arguments of its `convert` to those of `add_argument`."""
    return getattr(module, "OPTIONS", {})


def _convert(module: ModuleType, options: argparse.Namespace) -> list[str]:
    if options.output.exists() and (not options.output.is_dir() or any(options.output.iterdir())):
        raise ConversionError(f"{options.output} exists and is not empty; choose a new folder.")
    config = [options.config] if module.CONFIG_NAMES else []
    asked = {name: getattr(options, name) for name in _options(module)}
    return module.convert(options.checkpoint, *config, options.output, **asked)


def _export(module: ModuleType, options: argparse.Namespace) -> list[str]:
    if options.output.exists():
        raise ConversionError(f"{options.output} exists; --export writes a new file, such as weights.pt in an empty folder.")
    if unused := [name for name in ("push_to_hub", *_options(module)) if getattr(options, name) is not None]:
        raise ConversionError(f"--export takes no --{unused[0].replace('_', '-')}.")
    return module.export(options.export, options.output)


if __name__ == "__main__":
    sys.exit(main())
