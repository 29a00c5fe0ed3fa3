"""What the Jukebox does: candidates of songs at the top level, and their way down to the finest; no page here.

As in `engine.py` one object serves all sessions and holds nothing of any of them: a model is loaded when first needed, once,
under a lock, and only read from then on. What is being made lies in folders, see `jukebox_runs.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import validate
from background import go_on, in_thread
from engine import Report, _silent
from jukebox_looks import Follower, Look, codes_of, run_in_sentences, sounds_of
from jukebox_models import BUNDLED, MAX_SECONDS, JukeboxEntry, damaged
from jukebox_pictures import code_ranks, words_in_lines
from jukebox_runs import RunFolders
from jukebox_songs import Song, Wish
from shelf import Shelf, bytes_in
from validate import StudioError

if TYPE_CHECKING:
    import numpy as np
    from sound import Sound

    from hub_models.jukebox import JukeboxSampler, SamplingPlan
    from hub_models.jukebox.sampling import SamplingResult

MAX_CANDIDATES = 4
MAX_LYRICS = 5000  # characters
MAX_NAME = 200
MAX_TEMPERATURE = 2.0
# Models with more weights than this are held in memory a level at a time.
MAX_RESIDENT_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Reading:
    """What a model makes of names and lyrics.

    Attributes:
        about_names, about_lyrics: sentences on what it does not know, or reads otherwise.
        nearest: names that it knows, by what they are of ("Artist", "Genre"), in place of those that it does not.
    """

    about_names: list[str] = field(default_factory=list)
    about_lyrics: list[str] = field(default_factory=list)
    nearest: dict[str, list[str]] = field(default_factory=dict)


class Jukeboxes:
    """The models, for any number of sessions at once."""

    def __init__(self, entries: list[JukeboxEntry], runs: RunFolders | None = None, shelf: Shelf | None = None):
        self.entries = {entry.name: entry for entry in entries}
        self.runs = runs or RunFolders()
        self._shelf = shelf or Shelf()
        self._ranks: dict[str, list[np.ndarray]] = {}

    def entry(self, name: Any) -> JukeboxEntry:
        """The model called `name`, or a sentence that says which there are."""
        if not isinstance(name, str) or name not in self.entries:
            known = ", ".join(self.entries) or f"none is installed, {BUNDLED} is missing"
            raise StudioError(f"There is no such model for songs; there is: {known}.")
        return self.entries[name]

    def described(self) -> list[dict[str, Any]]:
        """The models for programs; one whose configuration is damaged is left out."""
        found = []
        for entry in self.entries.values():
            with contextlib.suppress(StudioError):
                found.append(
                    {
                        "name": entry.name,
                        "description": entry.label,
                        "representation": "song",
                        "sample_rate": entry.sample_rate,
                        "levels": len(entry.hops),
                        "takes_lyrics": entry.takes_lyrics,
                        "min_seconds": entry.min_seconds,
                        "min_seconds_with_prompt": entry.min_seconds_to_go_on,
                        "max_seconds": entry.max_seconds,
                        "artists": entry.offered("artist"),
                        "genres": entry.offered("genre"),
                    }
                )
        return found

    def load(self, name: str, report: Report = _silent) -> JukeboxSampler:
        """What samples a model, from memory or from its folder."""
        entry = self.entry(name)
        is_large = sum(path.stat().st_size for path in entry.folder.glob("*.safetensors")) > MAX_RESIDENT_BYTES

        def load() -> JukeboxSampler:
            report(0.0, "Loading the model (first use)")
            from hub_models.jukebox import JukeboxSampler

            try:
                sampler = JukeboxSampler(entry.folder, low_memory=is_large)
                sampler.read_priors()
            except Exception as error:  # whatever a damaged folder makes transformers or safetensors raise
                raise damaged(name) from error
            return sampler

        return self._shelf.get(("jukebox", name), load, _bytes_in_memory(entry, is_large))

    def ranks(self, name: str) -> list[np.ndarray]:
        """For each level, the top first, the places of its codes on the scale of colours."""
        if name not in self._ranks:
            from hub_models.jukebox.model_parts import WeightFiles

            entry, prefix = self.entry(name), "vqvae.bottleneck.level_blocks."
            books = WeightFiles(entry.folder).tensors(prefix)
            levels = [prior.vqvae_level for prior in entry.config.prior_configs]
            self._ranks[name] = [code_ranks(books[f"{level}.codebook"].float().numpy()) for level in levels]
        return self._ranks[name]

    # ---- What is asked for

    def wish(
        self,
        name: Any,
        *,
        artist: Any,
        genre: Any,
        lyrics: Any,
        seconds: Any,
        seed: Any,
        temperatures: Any,
        kept: Any = 0.0,
        count: Any = 1,
        prompt_seconds: float = 0.0,
        offset: Any = 0.0,
        total: Any = None,
    ) -> Wish:
        """Checks what a person asks for.

        Args:
            temperatures: of each level, the top first, or one for all; None: those that suit the model.
            kept: seconds of a sound that it begins with; `prompt_seconds` are there.
            offset: seconds of a longer song that are before it.
            total: seconds of that song; None or 0: it ends where this does.

        Raises:
            StudioError: it is not possible; says what is.
        """
        entry = self.entry(name)
        temperatures = entry.temperatures if temperatures is None else temperatures
        temperatures = temperatures if isinstance(temperatures, (list, tuple)) else [temperatures]
        levels = entry.config.nb_priors
        if len(temperatures) == 1:
            temperatures = [*temperatures] * levels
        if len(temperatures) < levels:
            raise StudioError(f"There must be a temperature for each of the {levels} levels, or one for all.")
        least = entry.min_seconds_to_go_on if prompt_seconds else entry.min_seconds
        wish = Wish(
            model=entry.name,
            artist=validate.text("The artist", artist, MAX_NAME).strip(),
            genre=validate.text("The genre", genre, MAX_NAME).strip(),
            lyrics=validate.text("The lyrics", lyrics, MAX_LYRICS) if entry.takes_lyrics else "",
            seconds=validate.seconds_between(seconds, least, entry.max_seconds),
            seed=validate.seed(seed),
            temperatures=tuple(validate.temperature(value, MAX_TEMPERATURE) for value in temperatures[:levels]),
            kept=min(validate.kept_seconds(kept, MAX_SECONDS), prompt_seconds) if prompt_seconds else 0.0,
            count=validate.candidates(count, MAX_CANDIDATES),
            offset=validate.seconds("The beginning within a song", 0.0 if offset is None else offset, entry.longest),
            total=validate.seconds("The length of the whole song", total, entry.longest) if total else None,
        )
        self._check_place(entry, wish)
        if wish.kept > wish.seconds - 0.5:
            raise StudioError(
                f"{wish.kept:g} seconds of the sound are kept, and the song is to last {wish.seconds:g}: keep less of it, "
                "or make the song longer."
            )
        return wish

    def _check_place(self, entry: JukeboxEntry, wish: Wish) -> None:
        """Whether the part of a song that is asked for lies within what the model knows."""
        needed = max(wish.seconds, entry.window_seconds(0)) if wish.offset else wish.seconds
        if wish.offset + needed > entry.longest:
            raise StudioError(
                f"From second {wish.offset:g} on {needed:.1f} seconds are needed, and this model knows songs of "
                f"{entry.longest:g} seconds: begin earlier, or make it shorter."
            )
        if wish.total is not None and wish.total < wish.offset + wish.seconds:
            raise StudioError(
                f"{wish.seconds:g} seconds from second {wish.offset:g} on end after the whole song, which is to last "
                f"{wish.total:g}."
            )

    def read(self, name: str, artist: Any, genre: Any, lyrics: Any, seconds: Any) -> Reading:
        """What a model makes of names and lyrics; `seconds` are those of the whole song."""
        from hub_models.jukebox.labels import lyric_reports

        entry, sampler = self.entry(name), self.load(name)
        texts = {
            "Artist": validate.text("The artist", artist, MAX_NAME).strip(),
            "Genre": validate.text("The genre", genre, MAX_NAME).strip(),
        }
        if sampler.tokenizer is None:
            told = ["This model has no lists of artists and genres: leave both empty."] if any(texts.values()) else []
            return Reading(told)
        words = validate.text("The lyrics", lyrics, MAX_LYRICS)
        labels = sampler.tokenizer(texts["Artist"], texts["Genre"], words if entry.takes_lyrics else "")
        about_lyrics = list(labels.lyrics.reports)
        about_names = [report for report in labels.reports if report not in about_lyrics]
        if labels.lyrics.clean:
            seconds = validate.seconds("The length in seconds", seconds, max(MAX_SECONDS, entry.longest))
            samples = entry.totals(seconds)[0] * entry.hops[0]
            about_lyrics += lyric_reports(len(labels.lyrics.clean), entry.config.prior_configs[0], max(1, samples))
        return Reading(about_names, about_lyrics, self._nearest(sampler, texts))

    def _nearest(self, sampler: JukeboxSampler, texts: dict[str, str]) -> dict[str, list[str]]:
        """Known names like those that the top level does not know."""
        tokenizer, found = sampler.tokenizer, {}
        for kind, lists in (("Artist", tokenizer.artists), ("Genre", tokenizer.genres)):
            names = lists[tokenizer.version[0]]
            if texts[kind] and not names.knows(names.key(texts[kind])) and len(names.genre_words(texts[kind])) == 1:
                found[kind] = names.nearest(names.key(texts[kind]))
        return {kind: names for kind, names in found.items() if names}

    # ---- What is made

    def candidate(self, song: Song, key: str, stopped: Callable[[], bool]) -> Iterator[Look]:
        """Makes a candidate, or goes on with it: looks at it, of which the last is all of it.

        The work is done in a thread of its own, which ends when nobody reads on.

        Args:
            stopped: asked several times a second whether a person wants no more.
        """
        wish, folder = song.wish, song.run_folder(key)
        sampler = self.load(wish.model)

        def sample(**told: Any) -> SamplingResult:
            if _holds_run(folder):
                return sampler.resume(folder, **told)
            prompt = song.prompt(sampler.sampling_rate)
            return sampler.sample(self.plan(wish, key, prompt, levels=1), folder, prompt=_samples(prompt), **told)

        yield from self._follow(wish, sample, stopped, song, folder)

    def upsample(self, song: Song, key: str, stopped: Callable[[], bool]) -> Iterator[Look]:
        """Brings a candidate down to the finest level, or goes on with that; as `candidate`."""
        sampler, folder = self.load(song.wish.model), song.fine_folder(key)

        def sample(**told: Any) -> SamplingResult:
            if _holds_run(folder):
                return sampler.resume(folder, **told)
            plan, codes = sampler.load(song.run_folder(key)).choose([0])
            return sampler.sample(plan, folder, prompt=codes, **told)

        yield from self._follow(song.wish, sample, stopped, song, folder, first=1)

    def whole(self, wish: Wish, prompt: Sound | None, levels: int, key: str = "1") -> Iterator[Look]:
        """A song down to a level at once, kept nowhere: what `candidate` and `upsample` give for the candidate `key`."""
        sampler = self.load(wish.model)

        def sample(**told: Any) -> SamplingResult:
            return sampler.sample(self.plan(wish, key, prompt, levels), prompt=_samples(prompt), **told)

        yield from self._follow(wish, sample, lambda: False)

    def found(self, song: Song, key: str) -> Look | None:
        """What there is of a candidate in its folder; None where nothing is."""
        sampler, look = self.load(song.wish.model), None
        for level, folder in enumerate((song.run_folder(key), song.fine_folder(key))):
            if _holds_run(folder):
                with run_in_sentences():
                    result = sampler.load(folder)
                words = look.words if look else self._words(song.wish, result)
                look = Look(level, codes=codes_of(result), sounds=sounds_of(result), words=words)
        return look

    def plan(self, wish: Wish, key: str, prompt: Sound | None, levels: int) -> SamplingPlan:
        """A candidate down to a level, as the sampler is told."""
        from hub_models.jukebox import SamplingPlan
        from hub_models.jukebox import Song as Labels

        return SamplingPlan(
            mode="ancestral" if prompt is None else "primed",
            songs=(Labels(wish.artist, wish.genre, wish.lyrics),),
            seconds=wish.seconds,
            offset_seconds=wish.offset,
            total_seconds=wish.total,
            sample_numbers=(int(key) - 1,),
            levels=tuple(range(levels)),
            temperatures=wish.temperatures,
            seed=wish.seed,
            align_lyrics=bool(wish.lyrics.strip()) and self.entry(wish.model).aligns_lyrics,
        )

    def provenance(self, wish: Wish, prompt: Sound | None, levels: int, key: str = "1") -> dict[str, Any]:
        """What made a song, and of what: enough to make it again."""
        return {
            "made_by": "Encore Jukebox, a model; nobody plays or sings",
            "model": wish.model,
            "model_fingerprint": self.load(wish.model).fingerprint,
            "prompt": prompt.name if prompt else None,
            "plan": self.plan(wish, key, prompt, levels).to_dict(),
        }

    def _words(self, wish: Wish, result: SamplingResult) -> list[list[Any]] | None:
        if not result.words:
            return None
        labels = self.load(wish.model).tokenizer(wish.artist, wish.genre, wish.lyrics)
        return words_in_lines(labels.lyrics, result.words[0])

    def _follow(
        self,
        wish: Wish,
        sample: Callable[..., SamplingResult],
        stopped: Callable[[], bool],
        song: Song | None = None,
        folder: Path | None = None,
        first: int = 0,
    ) -> Iterator[Look]:
        """Looks at what `sample(on_progress=..., should_stop=...)` makes, in a folder if there is one.

        Args:
            first: level that it begins with.
        """

        def work(check: Callable[[], None], put: Callable[[Any], None]) -> None:
            follower = Follower(folder, first, check, put)
            with self.runs.in_use(song.token) if song else contextlib.nullcontext(), run_in_sentences():
                result = sample(on_progress=follower.look, should_stop=stopped)
            words = self._words(wish, result)
            put(Look(follower.level, codes=codes_of(result), sounds=sounds_of(result), words=words, stopped=result.stopped))

        yield from in_thread(work, go_on, "jukebox")


def _bytes_in_memory(entry: JukeboxEntry, is_large: bool) -> int:
    """What a model takes; of a large one only the largest level is there at a time."""
    if not is_large:
        return bytes_in(entry.folder)
    levels = [bytes_in(entry.folder, (f"priors.{level}.",)) for level in range(entry.config.nb_priors)]
    return bytes_in(entry.folder, ("vqvae.",)) + max(levels)


def _holds_run(folder: Path) -> bool:
    from hub_models.jukebox.sampling_run import RunFolder

    return RunFolder(folder).holds_run


def _samples(prompt: Sound | None) -> np.ndarray | None:
    return None if prompt is None else prompt.samples()
