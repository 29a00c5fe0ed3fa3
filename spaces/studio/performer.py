"""What the performer does: reads styles, melodies and openings, and plays the piano event by event; no page here.

As in `engine.py` one object serves all sessions and holds nothing of any of them: a model is loaded when first needed, once,
under a lock, and only read from then on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import performer_reading
from background import go_on, in_thread
from engine import Report, _silent, model_type, models_folder
from performer_reading import Note, Reading, notes_of, seconds_of
from shelf import Shelf, bytes_in
from validate import StudioError

if TYPE_CHECKING:
    import pretty_midi
    import torch

    from hub_models.transformer_autoencoder import (
        TransformerAutoencoderForConditionalGeneration,
        TransformerAutoencoderProcessor,
    )

logger = logging.getLogger("encore.studio")

BUNDLED = "transformer-autoencoder-piano"
MODEL_TYPE = "transformer_autoencoder"
# Bounds the work for one person: a dense piece has about thirty events in a second.
MAX_EVENTS = 12_000
# Of a long performance so many excerpts, each of the model's length, say its style together.
MAX_EXCERPTS = 4
# Seconds between two looks at a piece that is being made.
LOOK_SECONDS = 0.4


@dataclass(frozen=True)
class PerformerEntry:
    """A model folder, described without loading it."""

    name: str
    folder: Path
    description: str

    @cached_property
    def config(self) -> dict[str, Any]:
        return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))

    @property
    def takes_style(self) -> bool:
        return self.config.get("performance_encoder", "none") != "none"

    @property
    def mixes_styles(self) -> bool:
        """Whether a style is one vector, of which there are mixtures."""
        return self.config.get("performance_encoder", "none") == "style"

    @property
    def takes_melody(self) -> bool:
        return bool(self.config.get("melody_encoder", False))

    @property
    def context_length(self) -> int:
        """Events that the model hears at once."""
        return int(self.config.get("context_length", 2048))

    @property
    def does(self) -> str:
        """What it plays, to choose it by."""
        return {
            (True, True): "A melody, in a style",
            (True, False): "In a style",
            (False, True): "A melody",
            (False, False): "Freely",
        }[self.takes_style, self.takes_melody]


def find_performers(folder: str | Path | None = None) -> list[PerformerEntry]:
    """The models of piano performances in `folder` or $ENCORE_STUDIO_MODELS, else those bundled with Encore.

    Those that listen to most come first.
    """
    own = models_folder(folder)
    if own:
        found = [PerformerEntry(path.parent.name, path.parent, "") for path in sorted(own.glob("*/config.json"))]
    else:
        from hub_models import list_bundled

        found = [PerformerEntry(model.name, Path(model.path), model.description) for model in list_bundled()]
    found = [entry for entry in found if model_type(entry.folder) == MODEL_TYPE]
    return sorted(found, key=lambda entry: (-entry.takes_melody - entry.takes_style, entry.name != BUNDLED, entry.name))


@dataclass(frozen=True)
class Wish:
    """What is to be played.

    Attributes:
        styles: none, one, or two, of which `share` is that of the second.
        melody: events of the melody of the whole piece, from the beginning of its opening on; see `Performers.timeline`.
        opening: events to go on from.
        seconds: how much is to be added to it.
        max_events: to be added at most; None: as many as are played at once.
    """

    styles: tuple[Reading, ...] = ()
    share: float = 0.0
    melody: tuple[int, ...] | None = None
    opening: tuple[int, ...] = ()
    seconds: float = 30.0
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    max_events: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far a piece has come.

    Attributes:
        ids: all its events, with those of the opening.
        notes, seconds: what they say.
        made: events that were added, in `elapsed` seconds since the first.
        ended: whether the model ended the piece by itself.
        stopped: whether a person did.
        final: whether this is all.
    """

    ids: tuple[int, ...]
    notes: tuple[Note, ...]
    seconds: float
    made: int
    elapsed: float
    ended: bool = False
    stopped: bool = False
    final: bool = False


@dataclass(frozen=True)
class Loaded:
    """A model ready to run; only read, so shared by all sessions."""

    model: TransformerAutoencoderForConditionalGeneration
    processor: TransformerAutoencoderProcessor


class Performers:
    """The models, for any number of sessions at once."""

    def __init__(self, entries: list[PerformerEntry], shelf: Shelf | None = None):
        self.entries = {entry.name: entry for entry in entries}
        self._shelf = shelf or Shelf()
        self._processors: dict[str, TransformerAutoencoderProcessor] = {}
        self._lock = threading.Lock()

    def entry(self, name: Any) -> PerformerEntry:
        """The model called `name`, or a sentence that says which there are."""
        if not isinstance(name, str) or name not in self.entries:
            known = ", ".join(self.entries) or f"none is installed, {BUNDLED} is missing"
            raise StudioError(f"There is no such model for performances; there is: {known}.")
        return self.entries[name]

    def fitting(self, style: bool, melody: bool) -> PerformerEntry:
        """The first model that listens to just what there is; for a style alone else one that makes up the melody.

        Raises:
            StudioError: there is none; says what the models listen to.
        """
        for entry in self.entries.values():
            if (entry.takes_style, entry.takes_melody) == (style, melody):
                return entry
        if style and not melody:
            for entry in self.entries.values():
                if entry.takes_style:
                    return entry
        given = {
            (True, True): "a style and a melody",
            (True, False): "a style without a melody",
            (False, True): "a melody without a style",
            (False, False): "neither style nor melody",
        }[style, melody]
        known = "; ".join(f"{name} plays {entry.does.lower()}" for name, entry in self.entries.items())
        raise StudioError(f"No model here takes {given}: {known or f'{BUNDLED} is not installed'}.")

    def processor(self, name: str) -> TransformerAutoencoderProcessor:
        """What reads music for a model, which need not be loaded for it."""
        entry = self.entry(name)
        with self._lock:
            if name not in self._processors:
                from hub_models.transformer_autoencoder import TransformerAutoencoderProcessor

                try:
                    self._processors[name] = TransformerAutoencoderProcessor.from_pretrained(entry.folder)
                except Exception as error:  # whatever a damaged folder makes transformers raise
                    raise _damaged(name) from error
            return self._processors[name]

    def load(self, name: str, report: Report = _silent) -> Loaded:
        """The model and its processor, from memory or from its folder."""
        entry, processor = self.entry(name), self.processor(name)

        def load() -> Loaded:
            report(0.0, "Loading the model (first use)")
            from hub_models.transformer_autoencoder import TransformerAutoencoderForConditionalGeneration

            try:
                model = TransformerAutoencoderForConditionalGeneration.from_pretrained(entry.folder).eval()
            except Exception as error:
                raise _damaged(name) from error
            model.requires_grad_(False)
            return Loaded(model, processor)

        return self._shelf.get(("performer", name), load, bytes_in(entry.folder))

    # ---- What is brought

    def read_style(self, name: str, music: pretty_midi.PrettyMIDI, title: str) -> Reading:
        """As `performer_reading.read_style`; says how a long one is heard."""
        reading, entry = performer_reading.read_style(music, title), self.entry(name)
        excerpts = len(self._excerpts(name, reading.ids)) if entry.mixes_styles else 1
        if excerpts > 1:
            text = f"Its style is the mean of {excerpts} parts of {entry.context_length} events each."
            return performer_reading.with_remark(reading, text)
        if len(reading.ids) > entry.context_length:
            return performer_reading.with_remark(reading, f"Its style is that of its first {entry.context_length} events.")
        return reading

    def read_melody(self, name: str, music: pretty_midi.PrettyMIDI, title: str, source: str = "infer") -> Reading:
        """As `performer_reading.read_melody`."""
        return performer_reading.read_melody(self.processor(name), music, title, source)

    def _excerpts(self, name: str, ids: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Events in pieces of the model's length, spread over the whole; all of it where it is no longer."""
        length = self.entry(name).context_length
        count = min(MAX_EXCERPTS, -(-len(ids) // length))
        if count <= 1:
            return [ids]
        starts = [round(index * (len(ids) - length) / (count - 1)) for index in range(count)]
        return [ids[start : start + length] for start in starts]

    # ---- What is played

    def style(self, name: str, wish: Wish) -> dict[str, torch.Tensor]:
        """What the decoder is told of the styles of a wish, as arguments of `generate`."""
        import torch

        from hub_models.transformer_autoencoder import mix_styles

        entry, model = self.entry(name), self.load(name).model
        if not entry.mixes_styles:
            return {"performance_ids": torch.tensor([wish.styles[0].ids[: entry.context_length]])}
        vectors = []
        for reading in wish.styles:
            excerpts = [torch.tensor([ids]) for ids in self._excerpts(name, reading.ids)]
            with torch.no_grad():
                vectors.append(mix_styles(torch.cat([model.encode_style(ids) for ids in excerpts])))
        weights = [1.0] if len(vectors) == 1 else [1.0 - wish.share, wish.share]
        return {"style": mix_styles(torch.stack(vectors), weights)[None]}

    def timeline(
        self, name: str, opening: tuple[int, ...], heard: tuple[int, ...], melody: Reading | None, seconds: float
    ) -> tuple[int, ...]:
        """The melody of a piece that goes on from an opening: that of the opening, then `melody`.

        Args:
            opening: performance events.
            heard: events of the melody that the opening was made from; empty: it is found in the opening.
            melody: None: silence for `seconds`, so that the model makes up its own.
        """
        from hub_models.transformer_autoencoder.melody_events import MELODY_STEPS_PER_SECOND, NO_EVENT_ID

        blank = (NO_EVENT_ID,) * math.ceil(seconds * MELODY_STEPS_PER_SECOND)
        then = blank if melody is None else melody.ids
        if not opening:
            return then
        steps = round(seconds_of(opening) * MELODY_STEPS_PER_SECOND)
        if not heard and melody is not None:
            with contextlib.suppress(StudioError):  # an opening without a melody is one of rests
                heard = self.read_melody(name, self.music(name, opening), "The opening").ids
        before = (*heard, *(NO_EVENT_ID,) * steps)[:steps]
        return (*before, *then)

    def check(self, name: str, wish: Wish) -> None:
        """
        Raises:
            StudioError: the wish lacks what the model needs, or holds what it cannot hear.
        """
        entry = self.entry(name)
        if entry.takes_style and not wish.styles:
            raise StudioError("A style is missing: upload a performance or pick an example.")
        if entry.takes_melody and wish.melody is None:
            raise StudioError("A melody is missing.")
        if wish.styles and not entry.takes_style:
            raise StudioError(f"The model {name} takes no style.")
        if wish.melody is not None and not entry.takes_melody:
            raise StudioError(f"The model {name} takes no melody.")
        if len(wish.styles) > 1 and not entry.mixes_styles:
            raise StudioError(f"The model {name} takes one style, not two.")

    def perform(
        self, name: str, wish: Wish, stopped: Callable[[], bool] | None = None, report: Report = _silent
    ) -> Iterator[Progress]:
        """Plays what is wished: looks at the piece while it grows; the last, which is final, is the result.

        The work is done in a thread of its own, which ends when nobody reads on.

        Args:
            stopped: asked after every event whether a person wants no more; what there is then is the result.
        """
        self.check(name, wish)
        loaded = self.load(name, report)
        report(0.0, "Listening to what it is given")

        def work(check: Callable[[], None], put: Callable[[Any], None]) -> None:
            import torch

            given: dict[str, Any] = self.style(name, wish) if wish.styles else {}
            if wish.melody is not None:
                given["melody_ids"] = torch.tensor([wish.melody])
            check()
            hand = _Hand(loaded.processor, wish, check, stopped or (lambda: False), put)
            loaded.model.generate(
                input_ids=torch.tensor([[0, *wish.opening]]),
                **given,
                do_sample=True,
                temperature=wish.temperature,
                top_p=wish.top_p,
                top_k=0,
                suppress_tokens=[0],  # padding, which no performance holds
                max_new_tokens=MAX_EVENTS,
                seed=wish.seed,
                streamer=hand,
                stopping_criteria=[hand.is_done],
            )
            put(hand.look(final=True))

        yield from in_thread(work, go_on, "performer")

    def music(self, name: str, ids: tuple[int, ...]) -> pretty_midi.PrettyMIDI:
        """Events as a piece for piano."""
        return self.processor(name).decode(list(ids))


class _Hand:
    """Follows what is written: a streamer of `generate` that looks at the piece every now and then."""

    def __init__(
        self,
        processor: TransformerAutoencoderProcessor,
        wish: Wish,
        check: Callable[[], None],
        stopped: Callable[[], bool],
        put: Callable[[Any], None],
    ):
        self.processor, self.wish, self._check, self._stopped, self._put = processor, wish, check, stopped, put
        self.ids: list[int] = []
        self.goal = wish.seconds
        self.seconds = 0.0
        self.was_stopped = self.has_ended = False
        self._started = self._looked = 0.0
        self._is_primer = True

    def put(self, value: torch.Tensor) -> None:
        """The primer, then event after event."""
        self._check()
        if self._is_primer:
            self._is_primer = False
            return
        event = int(value.reshape(-1)[0])
        now = time.monotonic()
        if not self.ids:
            self._started = self._looked = now
        self.ids.append(event)
        self.seconds += seconds_of((event,))
        self.has_ended = event == self.processor.performance_tokenizer.eos_token_id
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._put(self.look())

    def end(self) -> None:
        """All is written."""

    def is_done(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Whether it is long enough, or a person has stopped it; for each row."""
        import torch

        self.was_stopped = self.was_stopped or self._stopped()
        enough = self.wish.max_events is not None and len(self.ids) >= self.wish.max_events
        done = self.was_stopped or enough or self.seconds >= self.goal
        return torch.full((input_ids.shape[0],), done, dtype=torch.bool, device=input_ids.device)

    def look(self, final: bool = False) -> Progress:
        """The piece by now."""
        special = self.processor.performance_tokenizer.all_special_ids
        ids = (*self.wish.opening, *(event for event in self.ids if event not in special))
        return Progress(
            ids=ids,
            notes=notes_of(ids),
            seconds=seconds_of(ids),
            made=len(self.ids),
            elapsed=time.monotonic() - self._started if self.ids else 0.0,
            ended=self.has_ended,
            stopped=self.was_stopped,
            final=final,
        )


def _damaged(name: str) -> StudioError:
    logger.exception("loading %s failed", name)
    return StudioError(f"The model {name} cannot be loaded: its files are damaged or missing.")
