"""Sampling Jukebox: with progress, previews and stopping, on disk so that it can be killed and go on, level by level."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .alignment import check_alignment, lyric_alignment, timed_words
from .configuration_jukebox import JukeboxConfig
from .labels import lyric_reports
from .lyrics import TimedWord
from .model_parts import FolderParts, LoadedParts, check_same_model, local_folder
from .modeling_jukebox_vqvae import JukeboxVQVAE
from .sampling_plan import LevelSchedule, SamplingError, SamplingPlan, Schedule, Song, blank_labels, make_schedule
from .sampling_progress import Progress, cost_per_token
from .sampling_prompts import Prompt, codes_to_go_on_from
from .sampling_run import RunFolder, RunState, check_progress
from .sampling_watch import Stopped, Watch, codes_left
from .sampling_windows import sample_window, window_generator
from .tokenization_jukebox import VOCAB_FILES_NAMES, JukeboxTokenizer

if TYPE_CHECKING:
    from .modeling_jukebox import JukeboxModel
    from .modeling_jukebox_prior import JukeboxPrior


@dataclass
class SamplingResult:
    """What was sampled.

    Attributes:
        plan: what was wanted.
        codes: of each level, the top first, those of each sample, (length,) int64.
        audio: of each level that has codes, that of each sample, (T, C) float32, not clipped.
        words: of each sample, when words are sung; None unless `align_lyrics` asked for it.
        reports: sentences about labels that the model does not know, or will not hear.
        stopped: whether a person ended it before its end.
    """

    plan: SamplingPlan
    codes: list[list[Tensor]]
    audio: dict[int, list[Tensor]]
    words: list[list[TimedWord]] | None = None
    reports: list[str] = field(default_factory=list)
    stopped: bool = False

    @property
    def finest_audio(self) -> list[Tensor]:
        """The audio (T, C) of each sample at the finest level that was sampled."""
        return self.audio[max(self.audio)]

    def choose(self, indices: Sequence[int], **changes: Any) -> tuple[SamplingPlan, list[list[Tensor]]]:
        """A plan that samples the levels that are missing, of some of the samples, and the codes to give with it.

        What comes out is what these samples would have become, had all levels been sampled at once.

        Args:
            indices: of the samples, from 0.
            changes: other values of the plan, such as `max_batch_sizes`.

        Raises:
            SamplingError: there are no such samples.
        """
        count = self.plan.number_of_samples
        chosen = list(indices)
        if not chosen or len(set(chosen)) != len(chosen) or any(not 0 <= index < count for index in chosen):
            raise SamplingError(f"Choose different samples from 0 to {count - 1}, got {chosen}.")

        def pick(songs: tuple[Song, ...]) -> tuple[Song, ...]:
            return songs if len(songs) == 1 else tuple(songs[index] for index in chosen)

        plan = dataclasses.replace(
            self.plan,
            **{
                "mode": "upsample",
                "songs": pick(self.plan.songs),
                "songs_of_level": {level: pick(songs) for level, songs in self.plan.songs_of_level.items()},
                "number_of_samples": len(chosen),
                "sample_numbers": tuple(self.plan.numbers[index] for index in chosen),
                "prompt_seconds": None,
                "levels": None,
                "align_lyrics": False,
                **changes,
            },
        )
        return plan, [[rows[index] for index in chosen] for rows in self.codes]


class JukeboxSampler:
    """Samples a model: all modes of the original, with progress and previews, stopping and going on.

    ```python
    >>> sampler = JukeboxSampler("jukebox-1b-lyrics", low_memory=True)
    >>> song = Song("Zac Brown Band", "Country", "Hey, are you awake?")
    >>> drafts = sampler.sample(SamplingPlan(songs=song, seconds=24, number_of_samples=4, levels=[0]))
    >>> plan, codes = drafts.choose([2])
    >>> result = sampler.sample(plan, "runs/awake", prompt=codes, on_progress=print)
    >>> result = sampler.resume("runs/awake")  # after it was stopped or killed
    >>> result.audio[2][0]  # (T, 1) at sampler.sampling_rate
    ```

    What is drawn follows from the plan's seed, the level, the window and the sample's number alone: a run that is resumed
    gives what it would have given, and samples are the same whether or not others are computed at the same time, but for
    the rounding of matrix products of other sizes.

    Several threads may sample with one sampler at the same time.

    Args:
        model_or_path: a model, a folder that `save_pretrained` wrote, or a Hub repository.
        low_memory: a level's prior is read when it is its turn, and released after; for a folder or repository.
        device: for computation; by default the CPU. A model stays where it is.
        dtype: that priors compute in; by default float32. A model stays as it is.
        tokenizer: for labels; by default that of the folder, if it has one.

    Raises:
        ValueError: arguments that do not go together, or a folder that cannot be read.
    """

    def __init__(
        self,
        model_or_path: "JukeboxModel | str | os.PathLike",
        low_memory: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        tokenizer: JukeboxTokenizer | None = None,
    ):
        self._parts: LoadedParts | FolderParts
        if isinstance(model_or_path, torch.nn.Module):
            if low_memory or device is not None or dtype is not None:
                raise ValueError("low_memory, device and dtype are for a model's folder; a model is in memory as it is.")
            self._parts = LoadedParts(model_or_path)
        else:
            folder = local_folder(model_or_path)
            self._parts = FolderParts(folder, torch.device(device or "cpu"), _dtype(dtype), low_memory)
            if tokenizer is None and (folder / VOCAB_FILES_NAMES["artists_file"]).is_file():
                tokenizer = JukeboxTokenizer.from_pretrained(folder)
        self.tokenizer = tokenizer
        self.config: JukeboxConfig = self._parts.config
        self._fingerprint: dict[str, Any] | None = None
        self._clock = time.monotonic

    @property
    def sampling_rate(self) -> int:
        """Of audio, in Hz."""
        return self.config.vqvae_config.sampling_rate

    @property
    def vqvae(self) -> JukeboxVQVAE:
        """Makes sound of codes and codes of sound."""
        return self._parts.vqvae

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What tells the model from others; see [`model_parts`]."""
        if self._fingerprint is None:
            self._fingerprint = self._parts.fingerprint()
        return self._fingerprint

    # ---- What a person calls

    def read_priors(self) -> None:
        """Reads the priors of all levels now, not when each is first used; with `low_memory` they stay where they are."""
        if isinstance(self._parts, FolderParts) and not self._parts.low_memory:
            for level in range(self.config.nb_priors):
                with self._parts.prior(level):
                    pass

    def schedule(self, plan: SamplingPlan, prompt: Prompt = None) -> tuple[Schedule, list[str]]:
        """A plan in windows, and sentences about labels that the model does not know, without sampling.

        Raises:
            SamplingError: the plan or the prompt does not fit the model.
        """
        _, schedule, reports = self._begin(plan, prompt, None)
        return schedule, reports

    def sample(
        self,
        plan: SamplingPlan,
        folder: str | os.PathLike | None = None,
        prompt: Prompt = None,
        on_progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        labels: Sequence[Sequence[Tensor]] | None = None,
    ) -> SamplingResult:
        """Carries out a plan.

        Args:
            plan: what is wanted.
            folder: where codes are kept after every window, so that the run can be resumed.
            prompt: to go on from. Of `"primed"` audio at the model's rate, (T,), (T, C) or (N, T, C), see
                [`JukeboxFeatureExtractor`]; of `"continue"` and `"upsample"` codes of each level, the top first: (N, length)
                or a list of rows (length,). One row stands for all samples.
            on_progress: called a few times per second and after every window. What it raises ends the sampling; the codes
                of finished windows are in the folder.
            should_stop: asked several times per second; if true, the result is what there is.
            labels: rows for each level and sample, in place of the plan's songs.

        Raises:
            SamplingError: the plan, the prompt or labels do not fit the model or each other.
            RunError: the folder holds a run already.
            CodesNotSavedError: the disk is full or cannot be written.
        """
        state, schedule, reports = self._begin(plan, prompt, labels)
        run_folder = None if folder is None else RunFolder(folder)
        if run_folder is not None:
            run_folder.create(state)
        return self._run(state, schedule, reports, run_folder, on_progress, should_stop)

    def resume(
        self,
        folder: str | os.PathLike,
        on_progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> SamplingResult:
        """Goes on with a run that was stopped or killed; of one that is complete this is the result.

        Raises:
            RunError: the folder holds no run, or a damaged one.
            OtherModelError: the run is one of another model.
            CodesNotSavedError: the disk is full or cannot be written.
        """
        state, schedule, reports = self._load(folder)
        return self._run(state, schedule, reports, RunFolder(folder), on_progress, should_stop)

    def load(self, folder: str | os.PathLike) -> SamplingResult:
        """What a run has come to, without going on; raises as [`JukeboxSampler.resume`]."""
        state, schedule, reports = self._load(folder)
        left = sum(codes_left(level, len(row)) for level in schedule.levels for row in state.codes[level.level])
        return self._result(state, reports, left > 0)

    def decode(self, codes: Tensor, level: int) -> Tensor:
        """The audio (T, C) of codes (length,) of a level, from the top; on the CPU."""
        vqvae = self.vqvae
        if not len(codes):
            return torch.zeros(0, self.config.vqvae_config.conv_input_shape)
        start_level = self.config.vqvae_config.levels - 1 - level
        return vqvae.decode([codes.to(vqvae.device)[None]], start_level)[0].float().cpu()

    # ---- Before sampling

    def _begin(
        self, plan: SamplingPlan, prompt: Prompt, labels: Sequence[Sequence[Tensor]] | None
    ) -> tuple[RunState, Schedule, list[str]]:
        codes = codes_to_go_on_from(plan, prompt, self.vqvae, self.config)
        lengths = [len(rows[0]) for rows in codes]
        schedule = make_schedule(plan, self.config, lengths)
        if plan.align_lyrics:
            self._check_alignment(plan, labels)
        rows, reports = self._labels(plan, labels)
        return (
            RunState(plan, self.fingerprint, rows, lengths, codes),
            schedule,
            reports + self._lyric_reports(rows, schedule),
        )

    def _load(self, folder: str | os.PathLike) -> tuple[RunState, Schedule, list[str]]:
        state = RunFolder(folder).load()
        check_same_model(state.model, self.fingerprint, f"The run {folder}")
        if len(state.codes) != self.config.nb_priors:
            raise SamplingError(f"The run {folder} has {len(state.codes)} levels, this model {self.config.nb_priors}.")
        schedule = make_schedule(state.plan, self.config, state.prompt_lengths)
        check_progress(state, schedule, self.config.vqvae_config.nb_discrete_codes)
        return state, schedule, self._lyric_reports(state.labels, schedule)

    def _check_alignment(self, plan: SamplingPlan, labels: Any):
        try:
            check_alignment(self.config.prior_configs[0])
        except ValueError as error:
            raise SamplingError(str(error)) from error
        if plan.mode == "upsample":
            raise SamplingError("Lyrics are aligned when the top level is sampled; align_lyrics is not for upsample.")
        if self.tokenizer is None or labels is not None:
            raise SamplingError("Lyrics are aligned with the plan's songs by a tokenizer; there is none.")

    def _labels(
        self, plan: SamplingPlan, labels: Sequence[Sequence[Tensor]] | None
    ) -> tuple[list[list[list[int]]] | None, list[str]]:
        """Rows of each level and sample, and what is to be said about them."""
        priors, count = self.config.prior_configs, plan.number_of_samples
        if labels is not None:
            rows = [[torch.as_tensor(row).flatten().tolist() for row in level] for level in labels]
            rows = [level * count if len(level) == 1 else level for level in rows]
            if len(rows) != len(priors) or any(len(level) != count for level in rows):
                raise SamplingError(f"labels must have a row for each of {len(priors)} levels and {count} samples.")
            return rows, []
        if not any(prior.metadata_conditioning or prior.nb_relevant_lyric_tokens for prior in priors):
            return None, []
        songs = [plan.songs_at(level) for level in range(len(priors))]
        if self.tokenizer is None:
            named = [song for level in songs for song in level if song != Song()]
            if named:
                raise SamplingError(f"The model has no vocabularies of artists and genres; {named[0]} cannot be looked up.")
            return [[blank_labels(self.config, level)] * count for level in range(len(priors))], []
        if len(self.tokenizer.version) < len(priors):
            raise SamplingError(f"The tokenizer is for {len(self.tokenizer.version)} levels, the model has {len(priors)}.")
        read = {song: self.tokenizer(song.artist, song.genre, song.lyrics) for level in songs for song in level}
        rows = [[read[song]["input_ids"][level][0].tolist() for song in songs[level]] for level in range(len(priors))]
        return rows, list(dict.fromkeys(report for labels in read.values() for report in labels.reports))

    def _lyric_reports(self, labels: list[list[list[int]]] | None, schedule: Schedule) -> list[str]:
        """About lyrics that are too long for the song."""
        if labels is None or not schedule.levels or schedule.levels[0].level != 0:
            return []
        top = self.config.prior_configs[0]
        lengths = {len(row) - 4 - top.max_nb_genres for row in labels[0]}
        reports = [lyric_reports(length, top, schedule.total_length) for length in sorted(lengths) if length > 0]
        return [report for found in reports for report in found]

    # ---- Sampling

    def _run(
        self,
        state: RunState,
        schedule: Schedule,
        reports: list[str],
        folder: RunFolder | None,
        on_progress: Callable[[Progress], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> SamplingResult:
        costs = [cost_per_token(prior) for prior in self.config.prior_configs]
        watch = Watch(state, schedule, costs, self.decode, on_progress, should_stop, self._clock)
        stopped = False
        try:
            for level in schedule.levels:
                self._run_level(state, schedule, level, folder, watch)
        except Stopped:
            stopped = True
        return self._result(state, reports, stopped)

    def _run_level(self, state: RunState, schedule: Schedule, level: LevelSchedule, folder: RunFolder | None, watch: Watch):
        rows = state.codes[level.level]
        aligning = level.level == 0 and state.plan.align_lyrics and state.words is None
        if not aligning and not any(codes_left(level, len(row)) for row in rows):
            return
        watch.check()
        with self._parts.prior(level.level) as prior:
            for first in range(0, len(rows), level.max_batch_size):
                batch = range(first, min(first + level.max_batch_size, len(rows)))
                for number, window in enumerate(level.windows):
                    if window.end <= len(rows[first]):
                        continue
                    watch.begin(level, batch, number)
                    codes = sample_window(
                        prior,
                        window,
                        torch.stack([rows[index] for index in batch]),
                        torch.stack([state.codes[level.level - 1][index] for index in batch]) if level.level else None,
                        _tensors(state.labels, level.level, batch),
                        schedule.total_length,
                        schedule.offset,
                        level.choice,
                        [
                            window_generator(state.plan.seed, level.level, number, state.plan.numbers[index], "cpu")
                            for index in batch
                        ],
                        watch.on_tokens,
                    )
                    for index, row in zip(batch, codes, strict=True):
                        rows[index] = row.clone()
                    if folder is not None:
                        folder.save_codes(state, level.level, f"window {number + 1} of {len(level.windows)}")
                    watch.end()
            if aligning:
                state.words = self._words(state, schedule, level, prior)
                if folder is not None:
                    folder.save_words(state.words)

    def _words(
        self, state: RunState, schedule: Schedule, level: LevelSchedule, prior: "JukeboxPrior"
    ) -> list[list[TimedWord]]:
        found = []
        for index, song in enumerate(state.plan.songs_at(0)):
            words = self.tokenizer(song.artist, song.genre, song.lyrics).lyrics.words
            if not words:
                found.append([])
                continue
            labels = _tensors(state.labels, 0, [index])
            codes = state.codes[0][index][None]
            alignment = lyric_alignment(prior, codes, labels, schedule.total_length, schedule.offset, level.hop)[0]
            found.append(timed_words(alignment, words, prior.config))
        return found

    def _result(self, state: RunState, reports: list[str], stopped: bool) -> SamplingResult:
        audio = {
            level: [self.decode(row, level) for row in rows]
            for level, rows in enumerate(state.codes)
            if any(len(row) for row in rows)
        }
        return SamplingResult(state.plan, state.codes, audio, state.words, reports, stopped)


def _tensors(labels: list[list[list[int]]] | None, level: int, samples: Iterable[int]) -> list[Tensor] | None:
    """Rows of labels as tensors."""
    return None if labels is None else [torch.tensor(labels[level][index]) for index in samples]


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype or torch.float32
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"dtype is float32, bfloat16 or float16, got {dtype!r}.")
    return found
