"""A song of 32 bars at the size of `hier-multiperf_vel_1bar_med_chords`, on CPU: all bars at once, each track until its end.

    python benchmarks/music_vae_multitrack_arrangement.py --model multitrack-music-vae-1bar-chords

Random weights would end a track by chance after some 490 events. So the draws decide: a bar has 2 to 6 of 8 tracks and a
track 4 to 36 of 64 events, its end counted, all numbers equally likely; a missing track is one event, its end. Below
the table is what came of it. What the events are does not matter. Time, all taking turns:

- Ours: `MusicVAEModel.decode` of 32 latent vectors, one chord for every bar, temperature 0.5, after a warm-up.
- One bar at a time: the same, called for every bar by itself.
- The original's way: `stopping="never"`, all bars at once: 8 times 64 events of every bar, one after the other, and what
  follows a track's end is thrown away.
- The floor: the matrix products that no implementation in float32 can avoid for the events that are written, and nothing
  else - no gates, no softmax, no draws, no biases. Of every bar: z to the conductor's initial state; in each of 8 steps the
  conductor's recurrent product of every layer and the input product of every layer but the first, which reads a zero. Of
  every track: its embedding to the initial state, and through the input weights of the first layer. Of every event: the
  recurrent product of every layer, the input product of every layer but the first, and the output projection; the n-th
  events of all tracks that have one are rows of the same products. What an event reads of the one before, and its chord, are
  one-hot, so these products are look-ups and do not count. For each number of rows the fastest of eight ways is taken, tried
  beforehand: `rows @ weight`, with the weight transposed beforehand; `weight @ columns`; that in blocks of 1,024 rows of the
  weight; and that with no fewer than 16 columns; each with one product for every weight, or with one for all the weights
  that read the same layer.

With `--model`, a trained model's song too, with its own tracks and events: `Band.arrange`, after a warm-up.
"""

import time
from collections import Counter
from functools import partial

import torch
from reporting import Row, common_arguments, report, spread, time_in_turn

from hub_models import MusicVAEConfig, MusicVAEModel
from hub_models.music_vae.recurrent import LSTM
from hub_models.music_vae.timed_controls import TimedControls

PRESET = "hier-multiperf_vel_1bar_med_chords"
MAX_RATIO_TO_FLOOR = 1.5
MAX_SONG_SECONDS = 15.0  # of the demo, on two cores
PROGRESSION = "C | Am | F | G"
CHORDS = (1, 22, 6, 8)  # the same as numbers of triads
STEPS_PER_BAR = 96
TIME_SHIFT = 256  # this event, and the next 95: by 1 to 96 steps
TRACKS = (2, 6)  # of a bar: at least, at most
EVENTS = (4, 36)  # of a track
BLOCK_ROWS = 1024


def build_model(arguments) -> MusicVAEModel:
    """The preset's decoder at the sizes asked for, with random weights."""
    config = MusicVAEConfig.from_preset(
        PRESET,
        decoder_hidden_sizes=[arguments.hidden_size] * arguments.num_layers,
        encoder_hidden_sizes=[16],  # takes no part
        latent_size=arguments.latent_size,
        max_sequence_length=arguments.max_tracks * arguments.track_events,
        encoder_level_lengths=[arguments.track_events, arguments.max_tracks],
        decoder_level_lengths=[arguments.max_tracks, arguments.track_events],
    )
    torch.manual_seed(0)
    return MusicVAEModel(config).eval()


def track_lengths(num_bars: int, max_tracks: int, track_events: int) -> torch.Tensor:
    """Events of every track (bars, tracks), int64, as the module's docstring distributes them."""
    generator = torch.Generator().manual_seed(0)
    few, many = (min(number, max_tracks) for number in TRACKS)
    short, long = (min(number, track_events - 1) for number in EVENTS)
    num_tracks = torch.randint(few, many + 1, (num_bars, 1), generator=generator)
    lengths = torch.randint(short, long + 1, (num_bars, max_tracks), generator=generator)
    return torch.where(torch.arange(max_tracks) < num_tracks, lengths, 1)


def draws_for(lengths: torch.Tensor, track_events: int) -> torch.Tensor:
    """Draws (bars, tracks * track_events) that end every track where it should: the end is the last of the events, so that
    a draw near 1 is the end, and one that is well below is not."""
    draws = 0.9 * torch.rand(*lengths.shape, track_events, generator=torch.Generator().manual_seed(1))
    return draws.scatter(-1, lengths.unsqueeze(-1) - 1, 1 - 1e-6).flatten(1)


def chords_of(num_bars: int, control_size: int) -> torch.Tensor:
    """One-hot chords (bars, control_size) of the progression."""
    return torch.eye(control_size)[torch.tensor(CHORDS).repeat(-(-num_bars // len(CHORDS)))[:num_bars]]


def timed_controls(chords: torch.Tensor) -> TimedControls:
    """One chord for every bar; the program of a track reads no chord."""
    durations = torch.zeros(490, dtype=torch.int64)
    durations[TIME_SHIFT : TIME_SHIFT + STEPS_PER_BAR] = torch.arange(1, STEPS_PER_BAR + 1)
    values = chords.unsqueeze(1).expand(-1, STEPS_PER_BAR, -1)
    return TimedControls(values, durations, torch.eye(chords.shape[1])[0])


def controls_by_event(chords: torch.Tensor, max_tracks: int, track_events: int) -> torch.Tensor:
    """The same for every event (bars, events, control_size), as the original takes them."""
    controls = chords[:, None, None].repeat(1, max_tracks, track_events, 1)
    controls[:, :, 0] = torch.eye(chords.shape[1])[0]
    return controls.flatten(1, 2)


@torch.inference_mode()
def all_at_once(model: MusicVAEModel, latents, chords, draws, temperature: float) -> torch.Tensor:
    """Ours: (bars, events)."""
    return model.decode(latents, temperature=temperature, controls=timed_controls(chords), draws=draws)


@torch.inference_mode()
def bar_by_bar(model: MusicVAEModel, latents, chords, draws, temperature: float) -> torch.Tensor:
    """The same sequences, one call for every bar."""
    bars = [slice(bar, bar + 1) for bar in range(len(latents))]
    return torch.cat([all_at_once(model, latents[bar], chords[bar], draws[bar], temperature) for bar in bars])


@torch.inference_mode()
def without_stopping(model: MusicVAEModel, latents, controls, temperature: float) -> torch.Tensor:
    """The original's way: every event of every track."""
    generator = torch.Generator().manual_seed(0)
    return model.decode(latents, temperature=temperature, generator=generator, controls=controls, stopping="never")


class Products:
    """The floor, as the module's docstring defines it.

    Args:
        model: its decoder's weights are taken.
        lengths (`Tensor` of shape (bars, tracks), int64): events of every track.
    """

    def __init__(self, model: MusicVAEModel, lengths: torch.Tensor):
        decoder, core = model.decoder, model.decoder.core
        embedding_columns = slice(core.head.feedback_size, core.head.feedback_size + core.initial_state.weight.shape[1])
        # By what they are for; those in one list read the same layer.
        weights = {
            "bar": [[decoder.initial_state.weight]],
            "conductor": _by_layer(decoder.conductor),
            "track": [[core.initial_state.weight, core.lstm.weights(0)[0][:, embedding_columns]]],
            "event": _by_layer(core.lstm, core.output_projection.weight),
        }
        self.layouts = {
            (part, way): prepare([[torch.cat(layer)] for layer in layers] if joined else layers)
            for part, layers in weights.items()
            for way, (prepare, _, joined) in WAYS.items()
        }
        num_bars, num_tracks = lengths.shape
        self.schedule = [("bar", num_bars), *[("conductor", num_bars)] * num_tracks, ("track", num_bars * num_tracks)]
        self.schedule += [("event", int((lengths > event).sum())) for event in range(int(lengths.max()))]
        self.fastest = dict.fromkeys(self.schedule, next(iter(WAYS)))

    @torch.inference_mode()
    def choose(self, repeats: int = 5) -> dict[str, int]:
        """Finds the fastest way for every number of rows, with as many threads as there are now; says how often each is."""
        for part, number in self.fastest:
            ways = {way: partial(self.multiply, part, number, way) for way in WAYS}
            seconds = {way: min(values) for way, values in time_in_turn(ways, repeats).items()}
            self.fastest[part, number] = min(seconds, key=seconds.get)
        return Counter(self.fastest[key] for key in self.schedule)

    def multiply(self, part: str, number: int, way: str) -> None:
        """All products of one part for so many rows."""
        _, least_columns, _ = WAYS[way]
        for weight in self.layouts[part, way]:
            if least_columns is None:
                torch.mm(torch.ones(number, len(weight)), weight)
            else:
                torch.mm(weight, torch.ones(weight.shape[1], max(number, least_columns)))

    @torch.inference_mode()
    def __call__(self) -> None:
        for part, number in self.schedule:
            self.multiply(part, number, self.fastest[part, number])


def _by_layer(lstm: LSTM, *of_last: torch.Tensor) -> list[list[torch.Tensor]]:
    """For every layer the weights that read its output: its own recurrent one, and what follows."""
    recurrent = [lstm.weights(layer)[1] for layer in range(lstm.num_layers)]
    following = [[lstm.weights(layer)[0]] for layer in range(1, lstm.num_layers)] + [list(of_last)]
    return [[weight, *others] for weight, others in zip(recurrent, following, strict=True)]


def _transposed(layers: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    return [weight.detach().t().contiguous() for layer in layers for weight in layer]


def _blocks(layers: list[list[torch.Tensor]], rows: int | None = None) -> list[torch.Tensor]:
    return [
        block.contiguous() for layer in layers for weight in layer for block in weight.detach().split(rows or len(weight))
    ]


# How the weights are laid out; the least number of columns, None where the weights are multiplied from the left.
_SEPARATE = {
    "rows": (_transposed, None),
    "columns": (_blocks, 1),
    "columns in blocks": (partial(_blocks, rows=BLOCK_ROWS), 1),
    "sixteen columns in blocks": (partial(_blocks, rows=BLOCK_ROWS), 16),
}
# And whether those that read the same layer are one.
WAYS = {f"{way}{', joined' * joined}": (*layout, joined) for way, layout in _SEPARATE.items() for joined in (False, True)}


def describe(sequences: torch.Tensor, max_tracks: int) -> dict[str, float]:
    """What was written: sequences (bars, events), -1 where nothing was."""
    lengths = (sequences.unflatten(1, (max_tracks, -1)) >= 0).sum(dim=-1)
    present = lengths > 1
    return {
        "bars": len(sequences),
        "events": int(lengths.sum()),
        "of": sequences.numel(),
        "tracks_per_bar": float(present.sum(dim=1).float().mean()),
        "events_per_track": float(lengths[present].float().mean()),
        "longest_track": int(lengths.max()),
    }


def in_words(written: dict[str, float]) -> str:
    tracks = f"{written['tracks_per_bar']:.1f} tracks each, of {written['events_per_track']:.1f} events"
    longest = f"the longest has {written['longest_track']}"
    return f"{written['bars']} bars with {tracks} ({longest}): {written['events']:,} events of {written['of']:,}"


def measure_song(name: str, num_bars: int, repeats: int) -> tuple[dict, dict]:
    """Seconds of a trained model's song, after a warm-up, and what was written."""
    from hub_models.music_vae import Band

    band = Band.from_pretrained(name)
    seconds = []
    for seed in range(repeats + 1):
        start = time.perf_counter()
        song = band.arrange(PROGRESSION, num_bars=num_bars, seed=seed)
        seconds.append(time.perf_counter() - start)
    return spread(seconds[1:]), describe(torch.as_tensor(song.sequences), band.model.config.decoder_level_lengths[0])


def main() -> None:
    parser = common_arguments("Speed of writing a multitrack song, against one bar at a time and the weights' products.")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1], help="numbers of threads to measure")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each, after the warm-up")
    parser.add_argument("--bars", type=int, default=32, help="bars of the song")
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--hidden-size", type=int, default=512, help="units of every layer of conductor and decoder")
    parser.add_argument("--num-layers", type=int, default=3, help="layers of conductor and decoder")
    parser.add_argument("--latent-size", type=int, default=512)
    parser.add_argument("--max-tracks", type=int, default=8, help="tracks of a bar")
    parser.add_argument("--track-events", type=int, default=64, help="events of a track, at the most")
    parser.add_argument("--model", default=None, help="a trained model, bundled or from the Hub or a folder: its song too")
    arguments = parser.parse_args()

    model = build_model(arguments)
    latents = torch.randn(arguments.bars, arguments.latent_size)
    lengths = track_lengths(arguments.bars, arguments.max_tracks, arguments.track_events)
    draws = draws_for(lengths, arguments.track_events)
    chords = chords_of(arguments.bars, model.config.control_size)
    controls = controls_by_event(chords, arguments.max_tracks, arguments.track_events)
    products = Products(model, lengths)
    written = describe(all_at_once(model, latents, chords, draws, arguments.temperature), arguments.max_tracks)
    if written["events"] != int(lengths.sum()):
        raise SystemExit(f"The model wrote {written['events']} events where the draws ask for {int(lengths.sum())}.")
    rows, remarks = [], [f"Written: {in_words(written)}."]
    details = {"arguments": {k: str(v) for k, v in vars(arguments).items()}, "written": written, "threads": {}}
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        ways = products.choose()
        seconds = time_in_turn(
            {
                "ours": partial(all_at_once, model, latents, chords, draws, arguments.temperature),
                "bar_by_bar": partial(bar_by_bar, model, latents, chords, draws, arguments.temperature),
                "without_stopping": partial(without_stopping, model, latents, controls, arguments.temperature),
                "floor": products,
            },
            arguments.repeats,
        )
        measured = {name: spread(values) for name, values in seconds.items()}
        ours, by_bars, never, floor = (measured[name]["median"] for name in seconds)
        what = f"{arguments.bars} bars, {threads} thread{'s' * (threads > 1)}"
        rows.append(Row(what, "s", ours, by_bars, "one bar at a time", "ratio < 1", ours < by_bars))
        rows.append(Row(what, "s", ours, never, "the original's way: no track stops", "ratio < 1", ours < never))
        limit = f"ratio <= {MAX_RATIO_TO_FLOOR}"
        rows.append(Row(what, "s", ours, floor, "matrix products alone", limit, ours <= MAX_RATIO_TO_FLOOR * floor))
        details["threads"][threads] = {**measured, "fastest_products": ways}
        if arguments.model:
            song, song_written = measure_song(arguments.model, arguments.bars, arguments.repeats)
            what = f"song of {arguments.model}, {what}"
            limit = f"< {MAX_SONG_SECONDS:.0f} s"
            rows.append(Row(what, "s", song["median"], limit=limit, met=song["median"] < MAX_SONG_SECONDS))
            remarks.append(f"{arguments.model} wrote {in_words(song_written)}.")
            details["threads"][threads]["song"] = {**song, "written": song_written}
    size = f"{arguments.num_layers} layers of {arguments.hidden_size}"
    report(f"MusicVAE bands: {size}, median of {arguments.repeats}", rows, details, arguments.json)
    print("", *dict.fromkeys(remarks), sep="\n")


if __name__ == "__main__":
    main()
