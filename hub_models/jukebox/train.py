"""Train or fine-tune the parts of Jukebox on folders of songs: first the VQ-VAE, then on its codes a prior for each level.

accelerate launch -m hub_models.jukebox.train vqvae --data DIR --output OUTPUT/vqvae
accelerate launch -m hub_models.jukebox.train prior --level top --vqvae OUTPUT/vqvae --data DIR --output OUTPUT/top
accelerate launch -m hub_models.jukebox.train prior --level top --init-from NAME_OR_PATH --data DIR --output OUTPUT/top

Labels come from a `labels.csv` or `songs.jsonl`, for instance, beside the sound, see `hub_models.jukebox.song_files`.
Afterwards `python -m hub_models.jukebox.bundle` makes one model of the parts.
"""

import argparse

from . import train_prior, train_vqvae

PARTS = {"vqvae": train_vqvae, "prior": train_prior}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; `part` is what to train."""
    parser = argparse.ArgumentParser(
        prog="accelerate launch -m hub_models.jukebox.train", description=__doc__.partition("\n")[0]
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="vqvae|prior")
    for name, module in PARTS.items():
        summary = module.__doc__.partition("\n")[0]
        part = parts.add_parser(name, help=summary, description=summary, epilog=module.EPILOG)
        module.add_arguments(part)
        part.set_defaults(check=lambda options, part=part, module=module: module.check_arguments(part, options))
    options = parser.parse_args(arguments)
    options.check(options)
    return options


def main(arguments: list[str] | None = None) -> None:
    """Train the part that the command line names."""
    options = parse_arguments(arguments)
    PARTS[options.part].run(options)


if __name__ == "__main__":
    main()
