"""Writing codes with a Jukebox prior of width 512, depth 12 and 4 heads, on CPU and, where there is one, on a GPU.

    python benchmarks/jukebox_sampling.py --peer-folder ~/encore-peers/transformers4 --markdown

- Ours: `JukeboxPrior.sample` of 256 codes from nothing, at temperature 1, random weights, for 1 and for 8 samples.
- The peer: `sample` of transformers 4 with the same weights. The sides take turns; medians count. The logits of both, of
  the same codes, are compared.
- The floor: no implementation can write a code without reading the weights and what the cache holds. Bytes: the layers'
  weights and the output's, and the keys and values that each layer's pattern hears, on average over the codes. They are
  divided by the bandwidth with which this machine's threads read memory: the best of summing 256 MB and of multiplying a
  vector by a matrix as large. A processor whose cache holds the weights can be faster than this.
- The products: one multiplication by every weight, and nothing else; not a limit, a figure to compare with.
- Position: a whole context, by blocks of an eighth; layers hear rows, columns and previous rows only, so a code costs the
  same anywhere.
- The GPU: the top prior of 1b-lyrics with random weights in bfloat16 and float16; the step is one CUDA graph on static
  caches. Share of bandwidth: the floor's bytes over what was measured, against copying 2 GB.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jukebox_peer import jukebox_arguments, peer_name, transformers4, write_model
from memory import Memory
from reporting import Peer, Row, report, spread

from hub_models.jukebox import JukeboxPrior, JukeboxPriorConfig
from hub_models.jukebox.attention_cache import CacheLayout
from hub_models.jukebox.configuration_jukebox import JukeboxConfig
from hub_models.jukebox.decoding import TOKENS_BETWEEN_CALLS

MIN_SPEED_UP = {1: 3.0, 8: 2.0}
MIN_SHARE_OF_FLOOR = 0.5
MAX_GROWTH_WITH_POSITION = 1.2
#: Of the largest logit.
MAX_DIFFERENCE = 1e-5
POSITION_BLOCKS = 8
SEED = 0
ACCELERATOR_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def settings_of(arguments) -> dict:
    """Of the prior, as both sides name them."""
    return {
        "model_type": "jukebox_prior",
        "level": 0,
        "hidden_size": arguments.hidden_size,
        "num_layers": arguments.num_layers,
        "n_heads": 4,
        "n_ctx": arguments.context_length,
        "blocks": 16,
        "attention_pattern": "raw_column_previous_row_attention",
        "music_vocab_size": 2048,
        "metadata_dims": [8, 8],
        "timing_dims": 64,
        "max_nb_genres": 1,
        "max_duration": 600.0,
        "mask": True,
        "merged_decoder": False,
        "is_encoder_decoder": False,
        "nb_relevant_lyric_tokens": 0,
    }


def metadata_of(config: JukeboxPriorConfig) -> torch.Tensor:
    """A minute's beginning, by nobody; (1, 4 + genres + lyrics)."""
    metadata = torch.zeros(1, 4 + config.max_nb_genres + config.nb_relevant_lyric_tokens, dtype=torch.long)
    metadata[:, 0], metadata[:, 2] = 60 * config.sampling_rate, config.n_ctx * config.hop_length
    return metadata


def write(prior: JukeboxPrior, batch_size: int, tokens: int) -> tuple[float, list[float]]:
    """Seconds that `tokens` codes take, and when every few of them were there."""
    ends, generator = [], torch.Generator().manual_seed(SEED)
    start = time.perf_counter()

    def note(_: int):
        ends.append(time.perf_counter() - start)

    prior.sample(batch_size, metadata=metadata_of(prior.config), sample_tokens=tokens, generator=generator, on_tokens=note)
    return time.perf_counter() - start, ends


@torch.inference_mode()
def multiply(prior: JukeboxPrior, batch_size: int, tokens: int) -> float:
    """Seconds of all products of weights for so many codes."""
    matrices = [weight.data for name, weight in prior.prior.transformer.named_parameters() if weight.ndim == 2]
    matrices.append(prior.prior.fc_proj_out.weight.t().contiguous())
    inputs = {len(matrix): torch.ones(batch_size, len(matrix)) for matrix in matrices}
    outputs = [torch.empty(batch_size, matrix.shape[1]) for matrix in matrices]
    start = time.perf_counter()
    for _ in range(tokens):
        for matrix, output in zip(matrices, outputs, strict=True):
            torch.mm(inputs[len(matrix)], matrix, out=output)
    return time.perf_counter() - start


def floor_bytes(config: JukeboxPriorConfig, prior: JukeboxPrior, batch_size: int, positions: range) -> float:
    """Bytes that writing one code of every sample reads at the least, on average over the positions."""
    size = next(prior.prior.transformer.parameters()).element_size()
    weights = sum(weight.numel() for weight in prior.prior.transformer.parameters()) + prior.prior.fc_proj_out.weight.numel()
    heard = 0.0
    for pattern in config.layer_attentions:
        layout = CacheLayout(config, pattern, config.nb_relevant_lyric_tokens)
        heard += statistics.fmean(layout.access(position).count for position in positions)
    return size * (weights + 2 * config.attention_size * heard * batch_size)


def measure_batch(prior: JukeboxPrior, peer: Peer | None, name: str, batch_size: int, threads: int, arguments):
    """Ours against the peer, against the floor and against the products alone."""
    tokens = arguments.tokens
    memory = Memory(arguments.memory_megabytes)
    seconds = {"ours": [], "peer": [], "products": []}
    reading = []
    for repeat in range(arguments.repeats + 1):
        taken = {"ours": write(prior, batch_size, tokens)[0]}
        if peer is not None:
            taken["peer"] = peer.ask(do="sample", batch_size=batch_size, tokens=tokens)["seconds"]
        taken["products"] = multiply(prior, batch_size, tokens)
        if repeat:
            reading.append(memory.read())
            for side, value in taken.items():
                seconds[side].append(value)
    speed = {side: batch_size * tokens / statistics.median(values) for side, values in seconds.items() if values}
    bandwidth = memory.bandwidth(np.median(reading, axis=0))
    bytes_per_step = floor_bytes(prior.config, prior, batch_size, range(tokens))
    floor = batch_size * bandwidth / bytes_per_step
    what = f"batch {batch_size}, {threads} thread{'s' * (threads > 1)}"
    rows = []
    if peer is not None:
        limit = MIN_SPEED_UP.get(batch_size)
        met = None if limit is None else speed["ours"] >= limit * speed["peer"]
        rows.append(
            Row(what, "tokens/s", speed["ours"], speed["peer"], name, "" if limit is None else f"ratio >= {limit:g}", met)
        )
    met = speed["ours"] >= MIN_SHARE_OF_FLOOR * floor
    what_floor = "weights and cache over bandwidth"
    rows.append(Row(what, "tokens/s", speed["ours"], floor, what_floor, f"ratio >= {MIN_SHARE_OF_FLOOR}", met))
    rows.append(Row(what, "tokens/s", speed["ours"], speed["products"], "products of weights alone"))
    return rows, {
        "seconds": {side: spread(values) for side, values in seconds.items() if values},
        "gigabytes_per_second": bandwidth / 1e9,
        "megabytes_per_step": bytes_per_step / 1e6,
    }


def milliseconds_by_block(ends: list[float], tokens_per_end: int, length: int) -> list[float]:
    """Of one token, by eighths of a context; the first one's beginning is not counted."""
    per_block = length // POSITION_BLOCKS // tokens_per_end
    marks = np.array([0.0, *ends])[::per_block]
    return (1e3 * np.diff(marks) / (per_block * tokens_per_end)).tolist()


def measure_positions(prior: JukeboxPrior, peer: Peer | None, name: str, threads: int, arguments):
    """Time per code by position, over a whole context."""
    length, found = prior.config.n_ctx, {"ours": []}
    for _ in range(arguments.position_repeats):
        found["ours"].append(milliseconds_by_block(write(prior, 1, length)[1], TOKENS_BETWEEN_CALLS, length))
    if peer is not None:
        ends = peer.ask(do="sample", batch_size=1, tokens=length)["ends"]
        found["peer"] = [milliseconds_by_block(ends, 1, length)]
    blocks = {side: np.median(values, axis=0).tolist() for side, values in found.items()}
    ours, block = blocks["ours"], length // POSITION_BLOCKS
    threads_named = f"{threads} thread{'s' * (threads > 1)}"
    what = f"codes {length - block} to {length}, {threads_named}"
    first = f"codes 0 to {block}"
    met = ours[-1] <= MAX_GROWTH_WITH_POSITION * ours[0]
    rows = [Row(what, "ms/token", ours[-1], ours[0], first, f"ratio <= {MAX_GROWTH_WITH_POSITION}", met)]
    if peer is not None:
        rows.append(Row(f"the same, {name}", "ms/token", blocks["peer"][-1], blocks["peer"][0], first))
    return rows, {"block": block, "milliseconds_by_block": blocks}


@torch.inference_mode()
def compare(prior: JukeboxPrior, inputs: dict, peer: Peer, folder: Path) -> Row:
    """How far the logits of both sides are apart."""
    peer.ask(do="logits")
    theirs = torch.load(folder / "peer.pt", weights_only=True)
    ours = prior(inputs["codes"], metadata=inputs["metadata"]).logits
    largest = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    return Row("logits differ", "of the largest", largest, limit=f"<= {MAX_DIFFERENCE:g}", met=largest <= MAX_DIFFERENCE)


def random_prior(config: JukeboxPriorConfig, device: torch.device, dtype: torch.dtype) -> JukeboxPrior:
    """Made where it is used: neither a second copy nor another type of its weights is needed."""
    torch.manual_seed(SEED)
    with device:
        return JukeboxPrior._from_config(config, dtype=dtype).eval()


def copy_bandwidth(device: torch.device, megabytes: int, repeats: int) -> float:
    """Bytes per second that are read and written by copying so many megabytes."""
    source = torch.ones(megabytes * 1_000_000 // 4, device=device)
    target = torch.empty_like(source)
    seconds = [timed_on(device, partial(target.copy_, source)) for _ in range(repeats + 1)]
    return 8 * source.numel() / statistics.median(seconds[1:])


def timed_on(device: torch.device, function: Callable[[], object]) -> float:
    """Seconds, work of the device included."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_accelerator(device: torch.device, arguments) -> tuple[list[Row], dict]:
    """The 1b size on a GPU."""
    bandwidth = copy_bandwidth(device, arguments.accelerator_megabytes, arguments.repeats)
    rows, details = [], {"gigabytes_per_second": bandwidth / 1e9}
    for name, dtype in ACCELERATOR_TYPES.items():
        overrides = {} if arguments.accelerator_layers is None else {"num_layers": arguments.accelerator_layers}
        config = JukeboxConfig.from_preset("jukebox-1b-lyrics").prior_configs[0]
        config = JukeboxPriorConfig.from_dict({**config.to_dict(), **overrides})
        prior = random_prior(config, device, dtype)
        tokens = arguments.accelerator_tokens
        positions = range(config.nb_relevant_lyric_tokens, config.nb_relevant_lyric_tokens + tokens)
        for batch_size in arguments.batch_sizes:
            metadata = metadata_of(config).to(device)
            sample = partial(prior.sample, batch_size, metadata=metadata)
            # What is done once, reading the lyrics and capturing the step, is in both and falls out.
            pairs = [
                [timed_on(device, partial(sample, sample_tokens=count)) for count in (16, 16 + tokens)]
                for _ in range(arguments.repeats + 1)
            ]
            seconds = statistics.median(long - short for short, long in pairs[1:])
            floor = batch_size * bandwidth / floor_bytes(config, prior, batch_size, positions)
            what = f"1b, {name}, batch {batch_size}, {device.type}"
            speed = batch_size * tokens / seconds
            rows.append(Row(what, "tokens/s", speed, floor, "weights and cache over bandwidth of copying"))
            details[f"{name}_{batch_size}"] = {"seconds": pairs, "share_of_bandwidth": speed / floor}
        del prior
    return rows, details


def measure_threads(prior: JukeboxPrior, inputs: dict, peer: Peer | None, threads: int, arguments):
    """Everything with so many threads."""
    torch.set_num_threads(threads)
    name = "" if peer is None else peer_name(peer)
    if peer is not None:
        peer.ask(do="threads", count=threads)
    rows, measured = [], {}
    for batch_size in arguments.batch_sizes:
        found, measured[f"batch_{batch_size}"] = measure_batch(prior, peer, name, batch_size, threads, arguments)
        rows += found
    found, measured["positions"] = measure_positions(prior, peer, name, threads, arguments)
    return rows + found, measured


def main() -> None:
    parser = jukebox_arguments("Speed of sampling from a Jukebox prior, against transformers 4 and memory bandwidth.")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8], help="samples at once")
    parser.add_argument("--tokens", type=int, default=256, help="codes of each sample")
    parser.add_argument("--repeats", type=int, default=7, help="measurements of each, after the warm-up")
    parser.add_argument("--position-repeats", type=int, default=3, help="contexts for the time by position")
    parser.add_argument("--memory-megabytes", type=int, default=256, help="far more than the processor's caches")
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--num-layers", type=int, default=12)
    parser.add_argument("--context-length", type=int, default=1024, help="a multiple of 128")
    parser.add_argument("--accelerator", default="cuda", help="measured where there is one; cpu tries that part")
    parser.add_argument("--accelerator-tokens", type=int, default=512)
    parser.add_argument("--accelerator-layers", type=int, default=None, help="fewer try the benchmark")
    parser.add_argument("--accelerator-megabytes", type=int, default=2000, help="to copy")
    arguments = parser.parse_args()
    if arguments.context_length % 128 or not 0 < arguments.tokens <= arguments.context_length:
        parser.error("--context-length must be a multiple of 128, and --tokens at most as many.")

    settings = settings_of(arguments)
    config = JukeboxPriorConfig(**{name: value for name, value in settings.items() if name != "model_type"})
    prior = random_prior(config, torch.device("cpu"), torch.float32)
    generator = torch.Generator().manual_seed(SEED)
    codes = torch.randint(config.music_vocab_size, (1, config.n_ctx), generator=generator)
    inputs = {"metadata": metadata_of(config), "codes": codes}
    rows, details = [], {"arguments": {k: str(v) for k, v in vars(arguments).items()}, "threads": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(prior, settings, inputs, folder)
        with transformers4(arguments.peer_folder, folder) as peer:
            for threads in arguments.threads:
                found, details["threads"][threads] = measure_threads(prior, inputs, peer, threads, arguments)
                rows += found
            if peer is not None:
                rows.append(compare(prior, inputs, peer, folder))
    has_accelerator = arguments.accelerator == "cpu" or torch.cuda.is_available()
    if has_accelerator:
        found, details["accelerator"] = measure_accelerator(torch.device(arguments.accelerator), arguments)
        rows += found
    size = f"{arguments.num_layers} layers of {arguments.hidden_size}, {arguments.tokens} codes"
    title = f"Jukebox prior: {size}, median of {arguments.repeats}"
    report(title, rows, details, arguments.json, arguments.markdown)
    if not has_accelerator:
        print("\nThere is no GPU here: the 1b size with CUDA graphs was not measured.")
    for threads, measured in details["threads"].items():
        print(f"\n{threads} thread{'s' * (threads > 1)}:")
        for side, blocks in measured["positions"]["milliseconds_by_block"].items():
            by_block = ", ".join(f"{value:.2f}" for value in blocks)
            print(f"{side}, ms/token by blocks of {measured['positions']['block']}: {by_block}")
        for batch_size in arguments.batch_sizes:
            figures = measured[f"batch_{batch_size}"]
            print(
                f"batch {batch_size}: {figures['megabytes_per_step']:.1f} MB/step, "
                f"memory at {figures['gigabytes_per_second']:.1f} GB/s"
            )


if __name__ == "__main__":
    main()
