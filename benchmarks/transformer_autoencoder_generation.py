"""Writing piano performances with the six-layer Music Transformer of hidden size 512, on CPU.

    python benchmarks/transformer_autoencoder_generation.py

- Ours: `generate` of 1,024 events from nothing, drawn at temperature 1, random weights, for 1 and for 8 pieces at once. A
  streamer notes when each event comes. Every event's least time of all repeats counts, and these are added up: what else
  the machine does comes and goes, and the events are the same every time.
- Full recomputation, the original's way for relative attention: for every event the whole network hears all events before
  it again, without a cache. Measured with the same network and weights at `--positions` lengths from 1 to the last and
  integrated over all events with Simpson's rule: the time is nearly quadratic in the length, for which the rule is exact.
  Only the last event's logits are computed.
- The original: tensor2tensor on TensorFlow 2.15, one thread, batch 1, 512 events of the same network, measured on another
  machine much like this one: 3.8 events per second.
- The floor: no implementation can write an event without reading the weights and what the cache holds. Bytes: all weights
  but the table of events, of which each event reads one row, and the tables of distances in full; and keys and values of the
  events before, on average over the piece, for every piece. They are divided by the bandwidth with which this machine's
  threads read memory, measured in turns with ours: the best of summing 256 MB, and of multiplying a vector by a
  matrix as large.
- Position: 4,096 events in blocks of 512. The decoder hears at most 2,048 (its `context_length`); where that is full it
  forgets the older half, so the time goes up and down from there on and no further.
- The loop: `generate` against calling the model with its cache by hand, 256 events.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from memory import Memory
from reporting import Row, common_arguments, report
from torch import Tensor

from hub_models.transformer_autoencoder import TransformerAutoencoderConfig, TransformerAutoencoderForConditionalGeneration
from hub_models.transformer_autoencoder.generation import window_start

PRESET = "t_rel_len2048_h512_att512_fs1024_n6_dropout10"
# Events per second: the original on TensorFlow 2.15.1, one thread, batch 1, full recomputation; 512 events.
PUBLISHED_EVENTS_PER_SECOND = 3.8
MIN_RATIO_TO_RECOMPUTATION = 10
MIN_RATIO_TO_FLOOR = 0.5
MAX_COST_OF_GENERATE = 1.15
MAX_GROWTH_BEYOND_WINDOW = 1.1


class Clock:
    """A streamer that notes when each event comes."""

    def __init__(self):
        self.times = []

    def put(self, value: Tensor):
        """Called with the primer, then with each event."""
        self.times.append(time.perf_counter())

    def end(self):
        """Nothing is left to do."""


def build_model(arguments) -> TransformerAutoencoderForConditionalGeneration:
    """The preset's network at the sizes asked for, with random weights."""
    torch.manual_seed(0)
    overrides = {
        "hidden_size": arguments.hidden_size,
        "key_size": arguments.hidden_size,
        "intermediate_size": 2 * arguments.hidden_size,
        "num_hidden_layers": arguments.num_layers,
        "context_length": arguments.context_length,
        "max_relative_position": arguments.context_length // 2,
    }
    return TransformerAutoencoderForConditionalGeneration(
        TransformerAutoencoderConfig.from_preset(PRESET, **overrides)
    ).eval()


def write(model: TransformerAutoencoderForConditionalGeneration, batch_size: int, length: int) -> np.ndarray:
    """Seconds that each of `length` events takes, from the call to the last event."""
    clock, start = Clock(), time.perf_counter()
    start_ids = torch.zeros(batch_size, 1, dtype=torch.int64)
    model.generate(start_ids, do_sample=True, max_new_tokens=length, eos_token_id=None, seed=0, streamer=clock)
    return np.diff(np.array([start, *clock.times[-length:]]))


@torch.no_grad()
def write_by_hand(model: TransformerAutoencoderForConditionalGeneration, batch_size: int, length: int) -> np.ndarray:
    """The same with the model and its cache alone: forward, softmax, draw."""
    generator, cache, times = torch.Generator().manual_seed(0), None, [time.perf_counter()]
    event = torch.zeros(batch_size, 1, dtype=torch.int64)
    for _ in range(length):
        output = model(event, cache=cache, use_cache=True)
        cache = output.cache
        event = torch.multinomial(output.logits[:, -1].softmax(dim=-1), 1, generator=generator)
        times.append(time.perf_counter())
    return np.diff(np.array(times))


@torch.no_grad()
def recompute(model: TransformerAutoencoderForConditionalGeneration, batch_size: int, length: int) -> np.ndarray:
    """Seconds for one event after `length` others, without a cache; (1,)."""
    ids = torch.ones(batch_size, length, dtype=torch.int64)
    start = time.perf_counter()
    model(ids, use_cache=False, logits_to_keep=1)
    return np.array([time.perf_counter() - start])


def least_in_turn(functions: dict[str, Callable[[], np.ndarray]], repeats: int) -> dict[str, np.ndarray]:
    """The least of every measured time. The functions take turns; the first turn warms up."""
    least: dict[str, np.ndarray] = {}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            seconds = function()
            least[name] = np.minimum(least[name], seconds) if repeat > 1 else seconds
    return least


def floor_bytes(model: TransformerAutoencoderForConditionalGeneration, batch_size: int, length: int) -> float:
    """Bytes that writing one event reads at the least, on average over a piece."""
    config = model.config
    weights = sum(weight.numel() for weight in model.parameters()) - model.get_input_embeddings().weight.numel()
    heard = np.mean([count - window_start(count, config.context_length) for count in range(1, length + 1)])
    cached = heard * batch_size * config.num_hidden_layers * (config.total_key_size + config.total_value_size)
    return 4 * float(weights + cached)


def simpson(seconds: list[float], length: int) -> float:
    """The sum over events 1 to `length`, from an odd number of equally spaced samples, the first and last at the ends."""
    factors = np.array([1, *[4, 2] * ((len(seconds) - 3) // 2), 4, 1]) / (3 * (len(seconds) - 1))
    return float(factors @ np.array(seconds)) * length


def measure_batch(model, batch_size: int, threads: int, arguments) -> tuple[list[Row], dict]:
    """Ours against full recomputation, against the original and against the floor."""
    length = arguments.length
    lengths = np.linspace(1, length, arguments.positions).round().astype(int)
    memory = Memory(arguments.memory_megabytes)
    least = least_in_turn({"ours": partial(write, model, batch_size, length), "memory": memory.read}, arguments.repeats)
    slow = least_in_turn(
        {str(count): partial(recompute, model, batch_size, int(count)) for count in lengths}, arguments.recompute_repeats
    )
    again = [float(slow[str(count)][0]) for count in lengths]
    events = batch_size * length
    ours, whole = events / float(least["ours"].sum()), events / simpson(again, length)
    bandwidth = memory.bandwidth(least["memory"])
    floor = batch_size * bandwidth / floor_bytes(model, batch_size, length)
    what = f"{batch_size} piece{'s' * (batch_size > 1)}, {threads} thread{'s' * (threads > 1)}"
    limit = f"ratio >= {MIN_RATIO_TO_RECOMPUTATION}"
    met = ours >= MIN_RATIO_TO_RECOMPUTATION * whole
    rows = [Row(what, "events/s", ours, whole, "full recomputation, the original's way", limit, met)]
    if batch_size == 1 and threads == 1 and (arguments.hidden_size, arguments.num_layers) == (512, 6):
        met = ours >= MIN_RATIO_TO_RECOMPUTATION * PUBLISHED_EVENTS_PER_SECOND
        name = "the original on another machine"
        rows.append(Row(what, "events/s", ours, PUBLISHED_EVENTS_PER_SECOND, name, limit, met))
    met = ours >= MIN_RATIO_TO_FLOOR * floor
    name = "weights and cache over bandwidth"
    rows.append(Row(what, "events/s", ours, floor, name, f"ratio >= {MIN_RATIO_TO_FLOOR}", met))
    return rows, {
        "milliseconds_per_step": 1e3 * float(least["ours"].mean()),
        "gigabytes_per_second": bandwidth / 1e9,
        "megabytes_per_step": floor_bytes(model, batch_size, length) / 1e6,
        "recomputation_seconds": dict(zip(map(int, lengths), again, strict=True)),
    }


def measure_positions(model, threads: int, arguments) -> tuple[list[Row], dict]:
    """Time per event by position, within the window and beyond."""
    length, block = arguments.long_length, arguments.long_length // 8
    seconds = least_in_turn({"ours": partial(write, model, 1, length)}, arguments.long_repeats)["ours"]
    milliseconds = [1e3 * float(part.mean()) for part in seconds.reshape(-1, block)]
    # Where the window is full for the first time, and the slowest block after it.
    full = (model.config.context_length - 1) // block
    first, later = milliseconds[full], max(milliseconds[full + 1 :], default=milliseconds[full])
    name, limit = (
        f"1 piece, {threads} thread{'s' * (threads > 1)}: beyond the window",
        f"ratio <= {MAX_GROWTH_BEYOND_WINDOW}",
    )
    met = later <= MAX_GROWTH_BEYOND_WINDOW * first
    row = Row(name, "ms/event", later, first, f"events {full * block} to {(full + 1) * block}", limit, met)
    return [row], {"block": block, "milliseconds_by_block": milliseconds}


def measure_loop(model, threads: int, arguments) -> tuple[list[Row], dict]:
    """`generate` against a loop by hand."""
    length = arguments.loop_length
    functions = {"generate": partial(write, model, 1, length), "by_hand": partial(write_by_hand, model, 1, length)}
    least = {name: float(seconds.sum()) for name, seconds in least_in_turn(functions, arguments.repeats).items()}
    name, limit = f"{length} events, {threads} thread{'s' * (threads > 1)}: generate", f"ratio < {MAX_COST_OF_GENERATE}"
    met = least["generate"] < MAX_COST_OF_GENERATE * least["by_hand"]
    return [Row(name, "s", least["generate"], least["by_hand"], "a loop by hand", limit, met)], least


def main() -> None:
    parser = common_arguments("Speed of writing performances, against full recomputation and against memory bandwidth.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="numbers of threads to measure")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8], help="pieces at once")
    parser.add_argument("--length", type=int, default=1024, help="events of a piece")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of ours, of memory and of the loop")
    parser.add_argument("--positions", type=int, default=5, help="odd number of lengths at which to recompute")
    parser.add_argument("--recompute-repeats", type=int, default=1, help="measurements at each of these, after the warm-up")
    parser.add_argument("--long-length", type=int, default=4096, help="events for the time by position; a multiple of 8")
    parser.add_argument("--long-repeats", type=int, default=2)
    parser.add_argument("--loop-length", type=int, default=256, help="events for generate against a loop by hand")
    parser.add_argument("--context-length", type=int, default=2048, help="events that are heard at the most")
    parser.add_argument("--memory-megabytes", type=int, default=256, help="far more than the processor's caches")
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--num-layers", type=int, default=6)
    arguments = parser.parse_args()
    if arguments.positions < 3 or arguments.positions % 2 == 0 or arguments.long_length % 8:
        parser.error("--positions must be odd and at least 3, and --long-length a multiple of 8.")

    model = build_model(arguments)
    rows, details = [], {"arguments": {k: str(v) for k, v in vars(arguments).items()}, "threads": {}}
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        measured = {}
        for batch_size in arguments.batch_sizes:
            found, measured[f"batch_{batch_size}"] = measure_batch(model, batch_size, threads, arguments)
            rows += found
        for name, measure in {"positions": measure_positions, "loop": measure_loop}.items():
            found, measured[name] = measure(model, threads, arguments)
            rows += found
        details["threads"][threads] = measured
    size = f"{arguments.num_layers} layers of {arguments.hidden_size}, {arguments.length} events"
    report(f"Transformer Autoencoder: {size}, the least of {arguments.repeats}", rows, details, arguments.json)
    for threads, measured in details["threads"].items():
        by_block = ", ".join(f"{value:.1f}" for value in measured["positions"]["milliseconds_by_block"])
        print(f"\n{threads} thread{'s' * (threads > 1)}: ms/event by blocks of {measured['positions']['block']}: {by_block}")
        for batch_size in arguments.batch_sizes:
            figures = measured[f"batch_{batch_size}"]
            speed = f"{figures['milliseconds_per_step']:.1f} ms/step, {figures['megabytes_per_step']:.0f} MB/step"
            print(f"batch {batch_size}: {speed}, memory at {figures['gigabytes_per_second']:.1f} GB/s")


if __name__ == "__main__":
    main()
