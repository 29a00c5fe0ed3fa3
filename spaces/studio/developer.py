"""A piece taken further as sound: continued or re-imagined by Jukebox, re-voiced by WaveGrad; no page here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import validate
from background import go_on
from jukebox_looks import run_in_sentences
from jukeboxes import Jukeboxes
from validate import StudioError
from vocoder import MAX_SECONDS, Vocoders, with_own_schedule

from hub_models import Clip, Composition
from hub_models.composing.sound_models import CONTINUE, PROMPT_SECONDS, REIMAGINE, REVOICE, WAYS

NAMES = {CONTINUE: "Continue (Jukebox)", REIMAGINE: "Re-imagine (Jukebox)", REVOICE: "Re-voice (WaveGrad)"}
MIN_SECONDS = 1.0

__all__ = ["MAX_SECONDS", "MIN_SECONDS", "NAMES", "Developer"]


class Developer:
    """The models of sound, of those that the Studio has."""

    def __init__(self, vocoders: Vocoders, jukeboxes: Jukeboxes):
        self._vocoders, self._jukeboxes = vocoders, jukeboxes

    @property
    def ways(self) -> list[str]:
        """What can be done with the models that are there."""
        return [way for way in WAYS if self._entries(way)]

    def develop(
        self,
        piece: Composition,
        way: Any,
        seconds: Any,
        seed: Any,
        model: Any = "",
        check: Callable[[], None] = go_on,
        progress: Callable[[float, str], None] | None = None,
    ) -> Clip:
        """What a model makes of a piece.

        Args:
            way: one of `ways`.
            seconds: that are added, of the whole that is imagined, or of the beginning that is re-voiced.
            model: name of one; "": the first.
            check: called often; what it raises ends the work.
            progress: told the share that is done, 0..1, and what is being done.

        Raises:
            ValueError: it is not possible; says what is.
        """
        if way not in self.ways:
            known = ", ".join(self.ways) or "there is none: models are not installed here"
            raise StudioError(f"There is no such way to take a piece further; the ways are: {known}.")
        if not piece.tracks:
            raise StudioError("There is nothing to hear in this piece: no part of it sounds.")
        seed, name = validate.seed(seed), model or next(iter(self._entries(way)))

        def told(share: float, text: str) -> None:
            check()
            if progress:
                progress(share, text)

        told(0.0, "Getting the model ready")
        if way == REVOICE:
            seconds = validate.seconds_between(seconds, MIN_SECONDS, MAX_SECONDS)
            pipeline = with_own_schedule(self._vocoders.load(name))
            with self._vocoders.braked(check):
                return piece.revoiced(seconds, pipeline, seed, model=name, progress=told)
        entry = self._jukeboxes.entry(name)
        own = PROMPT_SECONDS if way == CONTINUE else 0.0  # the song that is made begins with what it goes on from
        least = max(MIN_SECONDS if way == CONTINUE else PROMPT_SECONDS + MIN_SECONDS, entry.min_seconds_to_go_on - own)
        seconds = validate.seconds_between(seconds, least, entry.max_seconds - own)
        sampler = self._jukeboxes.load(name)
        make = piece.continued if way == CONTINUE else piece.reimagined
        with run_in_sentences():
            return make(seconds, sampler, seed, model=name, progress=told)

    def _entries(self, way: str) -> dict[str, Any]:
        return self._vocoders.entries if way == REVOICE else self._jukeboxes.entries
