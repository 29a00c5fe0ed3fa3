"""python -m conversion SOURCE --checkpoint PATH [--config NAME] --output DIR [--push-to-hub REPO]"""

import argparse
import sys
from pathlib import Path

from . import magenta_js, magenta_music_vae
from .errors import ConversionError

SOURCES = {"magenta-music-vae": magenta_music_vae, "magenta-js": magenta_js}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m conversion", description="Convert an original checkpoint to a Hub folder."
    )
    sources = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    for name, module in SOURCES.items():
        source = sources.add_parser(name, help=module.__doc__.partition("\n")[0], description=module.__doc__)
        source.add_argument("--checkpoint", type=Path, required=True, help=module.CHECKPOINT_HELP)
        if module.CONFIG_NAMES:
            source.add_argument(
                "--config", required=True, choices=module.CONFIG_NAMES, help="name of the original configuration"
            )
        source.add_argument("--output", type=Path, required=True, help="folder to write; must be new or empty")
        source.add_argument("--push-to-hub", metavar="REPO", help="also publish the result, for example me/my-music-vae")
    options = parser.parse_args(arguments)
    try:
        if options.output.exists() and (not options.output.is_dir() or any(options.output.iterdir())):
            raise ConversionError(f"{options.output} exists and is not empty; choose a new folder.")
        config = [options.config] if SOURCES[options.source].CONFIG_NAMES else []
        notes = SOURCES[options.source].convert(options.checkpoint, *config, options.output)
    except (ConversionError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for note in notes:
        print(note)
    print(f"Wrote {options.output}")
    if options.push_to_hub:
        from hub_models.hub.__main__ import main as hub

        return hub(["publish", str(options.output), options.push_to_hub, "--license", SOURCES[options.source].LICENSE])
    return 0


if __name__ == "__main__":
    sys.exit(main())
