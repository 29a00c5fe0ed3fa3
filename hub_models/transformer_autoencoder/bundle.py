"""Make a trained model ready to ship: configurations, weights and processor files only.

python -m hub_models.transformer_autoencoder.bundle --model OUTPUT --output FOLDER [--half]
"""

import argparse
import sys
from pathlib import Path

from hub_models.music_vae.bundle import save_model

from .modeling_transformer_autoencoder import TransformerAutoencoderForConditionalGeneration
from .processing_transformer_autoencoder import TransformerAutoencoderProcessor


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hub_models.transformer_autoencoder.bundle", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--model", required=True, metavar="NAME_OR_PATH", help="the trained model")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the shipped files go")
    parser.add_argument(
        "--half",
        action="store_true",
        help="store float16 weights, half the size; from_pretrained gives float32 anyway",
    )
    options = parser.parse_args(arguments)
    model = TransformerAutoencoderForConditionalGeneration.from_pretrained(options.model)
    processor = TransformerAutoencoderProcessor.from_pretrained(options.model)
    save_model(model, options.output, options.half)
    processor.save_pretrained(options.output)
    print(f"Wrote {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
