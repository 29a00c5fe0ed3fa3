"""Audio to codes and back with the VQ-VAE of the published Jukebox models, on CPU.

    python benchmarks/jukebox_vqvae.py --peer-folder ~/encore-peers/transformers4 --markdown

Ours against transformers 4 with the same random weights, audio and codes: encoding at all three levels, and decoding from
each. The sides take turns. Outputs are compared.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from jukebox_peer import jukebox_arguments, peer_name, transformers4, write_model
from reporting import Peer, Row, report, spread

from hub_models.jukebox import JukeboxVQVAE, JukeboxVQVAEConfig

PRESET = "jukebox-5b"
MIN_SPEED_UP = 1.5
#: Of audio, and of all codes: where two are equally near, rounding decides.
MAX_DIFFERENCE, MAX_OTHER_CODES = 1e-4, 1e-3
SEED = 0


def build(arguments) -> tuple[JukeboxVQVAE, dict]:
    """The model, at the published size unless told otherwise, and its settings as transformers 4 names them."""
    torch.manual_seed(SEED)
    config = JukeboxVQVAEConfig.from_preset(PRESET, res_conv_width=arguments.width)
    model = JukeboxVQVAE(config).eval()
    with torch.no_grad():
        for level, codebook in enumerate(model.bottleneck.level_blocks):
            audio = torch.rand(1, config.nb_discrete_codes * config.hop_lengths[level], 1) * 2 - 1
            vectors = model.encoders[level](audio.mT)[0].mT
            codebook.codebook.copy_(vectors + vectors.std(0) * torch.randn_like(vectors))
    settings = {"model_type": config.model_type, "res_conv_width": config.res_conv_width}
    return model, settings


def seconds_of(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(model: JukeboxVQVAE, inputs: dict, peer: Peer | None, repeats: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each part on either side, in turns; the first turn warms up."""
    codes = inputs["codes"]
    ours = {"encode": lambda: model.encode(inputs["audio"])}
    theirs = {"encode": {"do": "encode"}}
    for level in range(len(codes)):
        ours[f"decode {level}"] = lambda level=level: model.decode(codes[level:], start_level=level)
        theirs[f"decode {level}"] = {"do": "decode", "level": level}
    seconds = {name: {"ours": [], "peer": []} for name in ours}
    for repeat in range(repeats + 1):
        for name, function in ours.items():
            taken = {"ours": seconds_of(function)} | ({} if peer is None else {"peer": peer.ask(**theirs[name])["seconds"]})
            for side, value in taken.items() if repeat else ():
                seconds[name][side].append(value)
    return seconds


def rows_of(seconds: dict, what: str, sound: float, name: str | None) -> list[Row]:
    """Seconds of computing per second of sound."""
    together = {
        side: [a + b for a, b in zip(seconds["encode"][side], seconds["decode 0"][side], strict=True)]
        for side in ("ours", "peer")
    }
    rows = []
    for part, values in ({"encode and decode": together} | seconds).items():
        part = part.replace("decode ", "decode from level ") if part[-1].isdigit() else part
        ours = statistics.median(values["ours"]) / sound
        if name is None:
            rows.append(Row(f"{part}, {what}", "s/s of sound", ours))
            continue
        theirs = statistics.median(values["peer"]) / sound
        has_limit = values is together
        limit, met = (f"ratio <= {1 / MIN_SPEED_UP:.2f}", MIN_SPEED_UP * ours <= theirs) if has_limit else ("", None)
        rows.append(Row(f"{part}, {what}", "s/s of sound", ours, theirs, name, limit, met))
    return rows


def compare(model: JukeboxVQVAE, inputs: dict, folder: Path) -> list[Row]:
    """How far the sides' results are apart."""
    ours, theirs = model.encode(inputs["audio"]), torch.load(folder / "peer_codes.pt", weights_only=True)
    other = torch.cat([a != b for a, b in zip(ours, theirs, strict=True)], dim=1).float().mean().item()
    largest = 0.0
    for level in range(len(ours)):
        audio = torch.load(folder / f"peer_{level}.pt", weights_only=True)
        difference = (model.decode(inputs["codes"][level:], start_level=level) - audio).abs().max() / audio.abs().max()
        largest = max(largest, difference.item())
    return [
        Row("codes that differ", "share", other, limit=f"<= {MAX_OTHER_CODES:g}", met=other <= MAX_OTHER_CODES),
        Row("audio differs", "of the largest", largest, limit=f"<= {MAX_DIFFERENCE:g}", met=largest <= MAX_DIFFERENCE),
    ]


def main() -> None:
    parser = jukebox_arguments("Speed of Jukebox's VQ-VAE at the published size, against transformers 4.")
    parser.add_argument("--seconds", type=float, default=5.0, help="of sound")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each, after the warm-up")
    parser.add_argument("--width", type=int, default=32, help="channels; smaller ones try the benchmark")
    arguments = parser.parse_args()

    model, settings = build(arguments)
    config = model.config
    length = max(1, round(arguments.seconds * config.sampling_rate / config.hop_lengths[-1])) * config.hop_lengths[-1]
    generator = torch.Generator().manual_seed(SEED)
    codes = [torch.randint(config.nb_discrete_codes, (1, length // hop), generator=generator) for hop in config.hop_lengths]
    inputs = {"audio": torch.rand(1, length, 1, generator=generator) * 2 - 1, "codes": codes}
    rows, details = [], {"arguments": {name: str(value) for name, value in vars(arguments).items()}, "threads": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(model, settings, inputs, folder)
        with transformers4(arguments.peer_folder, folder) as peer:
            name = None if peer is None else peer_name(peer)
            for threads in arguments.threads:
                torch.set_num_threads(threads)
                if peer is not None:
                    peer.ask(do="threads", count=threads)
                seconds = measure(model, inputs, peer, arguments.repeats)
                what = f"{threads} thread{'s' * (threads > 1)}"
                rows += rows_of(seconds, what, length / config.sampling_rate, name)
                details["threads"][threads] = {
                    part: {side: spread(values) for side, values in sides.items() if values}
                    for part, sides in seconds.items()
                }
            if peer is not None:
                rows += compare(model, inputs, folder)
    sound = f"{length / config.sampling_rate:.3g} s of sound"
    report(f"Jukebox's VQ-VAE: {sound}, median of {arguments.repeats}", rows, details, arguments.json, arguments.markdown)


if __name__ == "__main__":
    main()
