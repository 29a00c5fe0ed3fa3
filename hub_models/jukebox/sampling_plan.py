"""What is to be sampled, as a person says it, and as windows of codes."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .configuration_jukebox import JukeboxConfig
from .labels import NUM_TIMES
from .sampling_windows import Choice, Window, level_windows

MODES = ("ancestral", "primed", "continue", "upsample")
#: Of the original's notebook at the top level, and of its scripts below.
TOP_TEMPERATURE, LOWER_TEMPERATURE = 0.98, 0.99
MAX_SAMPLES = 1024
MAX_BATCH_SIZE = 16
#: Seconds times the rate are rounded down to samples, but not for what floating point lost.
_ROUNDING = 1e-6


class SamplingError(ValueError):
    """A plan that cannot be carried out; the message says what was given and what is allowed."""


@dataclass(frozen=True)
class Song:
    """Labels of a song, as [`JukeboxTokenizer`] reads them; `""` is nothing in particular."""

    artist: str = ""
    genre: str = ""
    lyrics: str = ""


@dataclass(frozen=True)
class SamplingPlan:
    """What to sample. Levels are numbered from the top, 0; a number for all levels may stand for a list of one per level.

    Attributes:
        mode: `"ancestral"`: new music; `"primed"`: going on from audio; `"continue"`: from codes of all levels;
            `"upsample"`: the lower levels of codes of the top level.
        songs: one for all samples, or one for each.
        songs_of_level: of levels that hear other labels than `songs`.
        seconds: length of the result, cut to whole codes of the top level. Of `"upsample"` by default that of the codes.
        total_seconds: length of the song that the result is a part of. By default it ends where the result does; or, if the
            model knows no songs that short, it is the shortest that it knows.
        offset_seconds: of that song, what comes before the result.
        prompt_seconds: only so much of the audio or codes to go on from is used, cut to whole codes of the top level.
        number_of_samples: how many, of the same song or of as many songs.
        sample_numbers: a sample's draws follow from the seed and its number. By default 0, 1, ...
        levels: those to sample, one after another; by default all (`"upsample"`: all but 0).
        temperatures: logits are divided by it. By default 0.98 at the top, 0.99 below.
        top_k: only so many of the likeliest codes are drawn; 0: all.
        top_p: only codes are drawn than which likelier ones have no more than this probability together; 0: all.
        hop_fractions: by how much of its context a window moves; by default as the model's configuration says.
        max_batch_sizes: samples that are computed at the same time. It changes memory and speed, and results only by the
            rounding of matrix products.
        chunk_size: codes of a window's beginning that are read at a time; bounds memory.
        seed: of all draws.
        align_lyrics: tell when each word of the lyrics is sung.
    """

    mode: str = "ancestral"
    songs: tuple[Song, ...] = (Song(),)
    songs_of_level: Mapping[int, tuple[Song, ...]] = dataclasses.field(default_factory=dict)
    seconds: float | None = None
    total_seconds: float | None = None
    offset_seconds: float = 0.0
    prompt_seconds: float | None = None
    number_of_samples: int = 1
    sample_numbers: tuple[int, ...] | None = None
    levels: tuple[int, ...] | None = None
    temperatures: float | tuple[float, ...] | None = None
    top_k: int | tuple[int, ...] = 0
    top_p: float | tuple[float, ...] = 0.0
    hop_fractions: float | tuple[float, ...] | None = None
    max_batch_sizes: int | tuple[int, ...] = MAX_BATCH_SIZE
    chunk_size: int | None = None
    seed: int = 0
    align_lyrics: bool = False

    def __post_init__(self):
        for name, value in list(vars(self).items()):
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "songs", _songs(self.songs))
        songs_of_level = {int(level): _songs(songs) for level, songs in dict(self.songs_of_level).items()}
        object.__setattr__(self, "songs_of_level", songs_of_level)
        _check_numbers(self)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The samples' numbers."""
        return tuple(range(self.number_of_samples)) if self.sample_numbers is None else self.sample_numbers

    def songs_at(self, level: int) -> list[Song]:
        """The song of each sample, as a level hears it."""
        songs = self.songs_of_level.get(level, self.songs)
        return list(songs) * self.number_of_samples if len(songs) == 1 else list(songs)

    def to_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        values = dataclasses.asdict(self)
        values["songs_of_level"] = {str(level): songs for level, songs in values["songs_of_level"].items()}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SamplingPlan":
        """From what `to_dict` gave, also after JSON.

        Raises:
            SamplingError: there are other fields, or values that no plan has.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, Mapping) or not set(values) <= set(known):
            unknown = sorted(set(values) - set(known)) if isinstance(values, Mapping) else values
            raise SamplingError(f"A plan has the fields {', '.join(known)}; got {unknown!r}.")
        try:
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise SamplingError(f"A field of the plan has a value of another type: {error}.") from error


@dataclass(frozen=True)
class LevelSchedule:
    """What is done at a level.

    Attributes:
        level: from the top.
        total: codes of the result.
        known: codes before.
        windows: to sample.
        hop: codes by which windows move.
        choice: how codes are drawn.
        max_batch_size: samples at the same time.
    """

    level: int
    total: int
    known: int
    windows: tuple[Window, ...]
    hop: int
    choice: Choice
    max_batch_size: int


@dataclass(frozen=True)
class Schedule:
    """A plan in samples, codes and windows of a model.

    Attributes:
        sample_length: audio samples of the result.
        total_length: of the song that it is a part of.
        offset: of the song before the result.
        levels: that are sampled, in order.
    """

    sample_length: int
    total_length: int
    offset: int
    levels: tuple[LevelSchedule, ...]


def make_schedule(plan: SamplingPlan, config: JukeboxConfig, prompt_lengths: Sequence[int]) -> Schedule:
    """A plan as windows of a model.

    Args:
        plan: what is wanted.
        config: of the model.
        prompt_lengths: codes that there are at each level, from the top; 0 where there are none.

    Raises:
        SamplingError: the plan does not fit the model; says what is allowed.
    """
    rate, hops = config.vqvae_config.sampling_rate, config.vqvae_config.hop_lengths[::-1][: config.nb_priors]
    levels = _levels(plan, config.nb_priors)
    sample_length = _sample_length(plan, config, prompt_lengths)
    offset = _samples(plan.offset_seconds, rate)
    total_length = _total_length(plan, config, sample_length, offset)
    schedules = []
    for level in levels:
        total, known = sample_length // hops[level], prompt_lengths[level]
        hop = _hop(plan, config, level)
        _check_level(plan, config, level, total, known)
        choice = Choice(
            _of_level(plan, config, "temperatures", level, TOP_TEMPERATURE if level == 0 else LOWER_TEMPERATURE),
            _of_level(plan, config, "top_k", level, 0),
            _of_level(plan, config, "top_p", level, 0.0),
            plan.chunk_size,
        )
        windows = tuple(level_windows(total, config.prior_configs[level].n_ctx, hop, known))
        batch_size = _of_level(plan, config, "max_batch_sizes", level, MAX_BATCH_SIZE)
        schedules.append(
            LevelSchedule(level, windows[-1].end if windows else total, known, windows, hop, choice, batch_size)
        )
    if plan.mode == "upsample" and prompt_lengths[0] < sample_length // hops[0]:
        raise SamplingError(
            f"{sample_length / rate:.2f} seconds need {sample_length // hops[0]} codes of the top level to upsample; there "
            f"are {prompt_lengths[0]}, {prompt_lengths[0] * hops[0] / rate:.2f} seconds."
        )
    _check_reach(config, schedules, offset)
    return Schedule(sample_length, total_length, offset, tuple(schedules))


def prompt_codes(plan: SamplingPlan, config: JukeboxConfig, available: int) -> int:
    """Codes of the top level that a prompt is cut to.

    Args:
        available: whole codes of the top level that there are.

    Raises:
        SamplingError: there is less than one, or less than `prompt_seconds`.
    """
    rate, hop = config.vqvae_config.sampling_rate, config.vqvae_config.hop_lengths[-1]
    wanted = available if plan.prompt_seconds is None else _samples(plan.prompt_seconds, rate) // hop
    if not 1 <= wanted <= available:
        raise SamplingError(
            f"What is gone on from must have at least one code of the top level, {hop / rate:.4f} seconds, and no more than "
            f"there is, {available * hop / rate:.2f} seconds; got {wanted * hop / rate:.2f} seconds."
        )
    return wanted


def _songs(songs: Any) -> tuple[Song, ...]:
    if isinstance(songs, Song | Mapping):
        songs = (songs,)
    read = []
    for song in songs:
        if isinstance(song, Mapping):
            try:
                song = Song(**song)
            except TypeError as error:
                raise SamplingError(f"A song has artist, genre and lyrics: {error}.") from error
        if not isinstance(song, Song):
            raise SamplingError(f"A song has artist, genre and lyrics, got {song!r}.")
        read.append(song)
    return tuple(read)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_numbers(plan: SamplingPlan):
    """What can be said of a plan without a model."""
    if plan.mode not in MODES:
        raise SamplingError(f"mode is one of {', '.join(MODES)}, got {plan.mode!r}.")
    if plan.seconds is None and plan.mode != "upsample":
        raise SamplingError("seconds, the length of the result, is missing.")
    for name in ("seconds", "total_seconds", "prompt_seconds"):
        value = getattr(plan, name)
        if value is not None and not (_is_number(value) and value > 0):
            raise SamplingError(f"{name} must be above 0, got {value!r}.")
    if not _is_number(plan.offset_seconds) or plan.offset_seconds < 0:
        raise SamplingError(f"offset_seconds must be from 0, got {plan.offset_seconds!r}.")
    if plan.prompt_seconds is not None and plan.mode not in ("primed", "continue"):
        raise SamplingError(f"prompt_seconds is for primed and continue, not for {plan.mode}.")
    count = plan.number_of_samples
    if not _is_whole(count) or not 1 <= count <= MAX_SAMPLES:
        raise SamplingError(f"number_of_samples must be from 1 to {MAX_SAMPLES}, got {count!r}.")
    for name, songs in (("songs", plan.songs), *((f"songs_of_level[{k}]", v) for k, v in plan.songs_of_level.items())):
        if len(songs) not in (1, count):
            raise SamplingError(f"{name} must be one, or one for each of {count} samples, got {len(songs)}.")
    numbers = plan.sample_numbers
    if numbers is not None and (
        len(numbers) != count or len(set(numbers)) != count or any(not _is_whole(n) or n < 0 for n in numbers)
    ):
        raise SamplingError(f"sample_numbers must be {count} different whole numbers from 0, got {numbers!r}.")
    if not _is_whole(plan.seed) or not 0 <= plan.seed < 2**63:
        raise SamplingError(f"seed must be a whole number from 0 to 2^63 - 1, got {plan.seed!r}.")
    if plan.chunk_size is not None and (not _is_whole(plan.chunk_size) or plan.chunk_size < 1):
        raise SamplingError(f"chunk_size must be a whole number from 1, got {plan.chunk_size!r}.")
    for name, allowed, is_allowed in (
        ("temperatures", "above 0", lambda value: _is_number(value) and value > 0),
        ("top_k", "whole numbers from 0", lambda value: _is_whole(value) and value >= 0),
        ("top_p", "from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
        ("hop_fractions", "above 0 and at most 1", lambda value: _is_number(value) and 0 < value <= 1),
        ("max_batch_sizes", "whole numbers from 1", lambda value: _is_whole(value) and value >= 1),
    ):
        given = getattr(plan, name)
        values = given if isinstance(given, tuple) else (given,)
        if given is not None and not (values and all(map(is_allowed, values))):
            raise SamplingError(f"{name} must be {allowed}, got {given!r}.")


def _levels(plan: SamplingPlan, count: int) -> tuple[int, ...]:
    first = 1 if plan.mode == "upsample" else 0
    possible = tuple(range(first, count))
    levels = possible if plan.levels is None else plan.levels
    if not levels or levels != possible[: len(levels)]:
        raise SamplingError(
            f"levels of {plan.mode} start at {first} and go down one by one, at most to {count - 1}; got {list(levels)}."
        )
    strangers = sorted(set(plan.songs_of_level) - set(range(count)))
    if strangers:
        raise SamplingError(f"songs_of_level has levels 0 to {count - 1}, got {strangers}.")
    return levels


def _of_level(plan: SamplingPlan, config: JukeboxConfig, name: str, level: int, default: Any) -> Any:
    value = getattr(plan, name)
    if isinstance(value, tuple):
        if len(value) != config.nb_priors:
            raise SamplingError(f"{name} must be one, or one for each of {config.nb_priors} levels, got {len(value)}.")
        value = value[level]
    return default if value is None else value


def _samples(seconds: float, rate: int) -> int:
    return int(seconds * rate + _ROUNDING)


def _sample_length(plan: SamplingPlan, config: JukeboxConfig, prompt_lengths: Sequence[int]) -> int:
    rate, hop = config.vqvae_config.sampling_rate, config.vqvae_config.hop_lengths[-1]
    if plan.seconds is None:
        return prompt_lengths[0] * hop
    length = _samples(plan.seconds, rate) // hop * hop
    if length < hop:
        raise SamplingError(f"seconds must be at least {hop / rate:.4f}, a code of the top level; got {plan.seconds}.")
    return length


def _total_length(plan: SamplingPlan, config: JukeboxConfig, sample_length: int, offset: int) -> int:
    rate, top = config.vqvae_config.sampling_rate, config.prior_configs[0]
    least, beyond = math.ceil(top.min_duration * rate), int(top.max_duration * rate)
    given = plan.total_seconds
    total = max(offset + sample_length, least) if given is None else _samples(given, rate)
    if top.metadata_conditioning and not least <= total < beyond:
        raise SamplingError(
            f"This model knows songs of {top.min_duration:g} to less than {top.max_duration:g} seconds; total_seconds is "
            f"{total / rate:.2f}."
        )
    if offset >= total:
        raise SamplingError(
            f"offset_seconds must be less than the song's total_seconds, {total / rate:.2f}; got {plan.offset_seconds:g}."
        )
    if plan.total_seconds is not None and offset + sample_length > total:
        raise SamplingError(
            f"The result, {sample_length / rate:.2f} seconds after {offset / rate:.2f}, ends after the song's "
            f"total_seconds, {total / rate:.2f}."
        )
    return total


def _hop(plan: SamplingPlan, config: JukeboxConfig, level: int) -> int:
    prior = config.prior_configs[level]
    fraction = _of_level(plan, config, "hop_fractions", level, config.hop_fraction[level])
    hop = int(fraction * prior.n_ctx)
    factor = prior.conditioning_factor if prior.is_upsampler else 1
    if hop < 1 or hop % factor:
        near = max(factor, round(hop / factor) * factor)
        raise SamplingError(
            f"hop_fractions {fraction} moves windows of level {level} by {hop} codes; it must be a multiple of {factor}, "
            f"such as {near / prior.n_ctx}."
        )
    return hop


def _check_level(plan: SamplingPlan, config: JukeboxConfig, level: int, total: int, known: int):
    prior, rate = config.prior_configs[level], config.vqvae_config.sampling_rate
    seconds = prior.hop_length / rate
    if prior.is_upsampler and total < prior.n_ctx:
        raise SamplingError(
            f"{total * seconds:.2f} seconds are shorter than a window of level {level}, {prior.n_ctx * seconds:.2f} "
            f"seconds: ask for at least that, or only for levels {list(range(level))}."
        )
    if plan.mode in ("primed", "continue") and known >= total:
        raise SamplingError(
            f"What is gone on from has {known * seconds:.2f} seconds at level {level}; seconds must be more than that, or "
            f"prompt_seconds less: the result is to have {total * seconds:.2f}."
        )
    if _of_level(plan, config, "top_k", level, 0) and _of_level(plan, config, "top_p", level, 0.0):
        raise SamplingError(f"Give top_k or top_p, not both, at level {level}.")


def _check_reach(config: JukeboxConfig, schedules: Sequence[LevelSchedule], offset: int):
    """The top level's prior has heard of no times beyond its longest song."""
    top, rate = config.prior_configs[0], config.vqvae_config.sampling_rate
    if not schedules or schedules[0].level != 0 or not top.metadata_conditioning or not schedules[0].windows:
        return
    reach = offset + (schedules[0].windows[-1].start + top.n_ctx) * top.hop_length
    if reach > top.max_duration * rate:
        raise SamplingError(
            f"The last window of the top level ends {reach / rate:.2f} seconds after the song's beginning; this model knows "
            f"{top.max_duration:g}: make offset_seconds or seconds smaller."
        )


def blank_labels(config: JukeboxConfig, level: int) -> list[int]:
    """The row of a song of which nothing is said, for a model without vocabularies."""
    genres = [0] + [-1] * (config.prior_configs[level].max_nb_genres - 1)
    return [0] * (NUM_TIMES + 1) + genres
