"""How a candidate of the Jukebox is shown: as a card, and large, with a take for each of its levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import sound as sounds
from components.jukebox_candidates import candidate_card
from components.jukebox_view import jukebox_view_value, level_strip
from components.sound_view import take
from jukebox_looks import Look, clock
from jukebox_models import JukeboxEntry
from jukebox_pictures import code_picture
from jukebox_songs import Song
from sound import Sound
from sources import Ledger, in_words, plain_settings

if TYPE_CHECKING:
    from hub_models import Clip


class Piece:
    """A candidate, and what there is of it by now.

    Args:
        song: that it belongs to.
        key: of the candidate.
        entry: its model.
        prompt: the sound that it begins with.
    """

    def __init__(self, song: Song, key: str, entry: JukeboxEntry, prompt: Sound | None = None):
        self.song, self.key, self.entry, self.prompt = song, key, entry, prompt
        self.totals = entry.totals(song.wish.seconds)
        self.codes = [np.zeros(0, np.int64) for _ in self.totals]
        self.names = entry.level_names
        self.sounds: dict[int, np.ndarray] = {}
        self.words: list[list[Any]] = []
        self.is_busy = False
        self.now: Look | None = None
        self._takes: dict[int, dict[str, Any]] = {}
        self._pictures: dict[int, tuple[int, dict[str, Any]]] = {}
        self._seconds: dict[int, float] = {}
        self._clip: Clip | None = None
        self._clip_level = -1

    # ---- What comes

    def come(self, look: Look) -> None:
        """More of it is there."""
        self.now = look
        self.codes = list(look.codes or self.codes)
        self.words = self.words if look.words is None else look.words
        if look.elapsed:
            self._seconds[look.level] = look.elapsed
        for level, samples in look.sounds.items():
            self.sounds[level] = samples
            self._takes.pop(level, None)

    def wait(self) -> None:
        """Something is going to be made of it."""
        self.is_busy = True

    def rest(self) -> None:
        """Nothing is being made of it any more, for now."""
        self.is_busy, self.now = False, None

    # ---- What is there

    @property
    def seconds(self) -> float:
        """Of the whole, in the end."""
        return self.totals[0] * self.entry.hops[0] / self.entry.sample_rate

    def is_done(self, level: int) -> bool:
        """Whether all codes of a level are there; `level` counts from the top."""
        return len(self.codes[level]) >= self.totals[level]

    @property
    def is_ready(self) -> bool:
        """Whether its top level is all there."""
        return self.is_done(0)

    @property
    def is_finished(self) -> bool:
        return all(map(self.is_done, range(len(self.totals))))

    def clip(self) -> Clip | None:
        """What travels of it, as /jukebox makes it again: the finest level that is all there; None where none is.

        While something is being made of it, it is as it was before.
        """
        whole = [level for level in self.sounds if self.is_done(level)]
        if whole and not self.is_busy and max(whole) != self._clip_level:
            self._clip_level = max(whole)
            self._clip = self._clip_of(self._clip_level)
        return self._clip

    def _clip_of(self, level: int) -> Clip:
        from hub_models import Clip, audio
        from hub_models.clips import Call, Origin

        wish, prompt, ledger = self.song.wish, self.prompt, Ledger()
        call = Call(
            "/jukebox",
            {
                "model": wish.model,
                "artist": wish.artist,
                "genre": wish.genre,
                "lyrics": wish.lyrics,
                "seconds": wish.seconds,
                "seed": wish.seed,
                "temperature": None,
                "prompt": ledger.reference(prompt.source(0.0, wish.kept)[0], "wav") if prompt else None,
                "prompt_seconds": wish.kept if prompt else None,
                "levels": level + 1,
                "temperatures": list(wish.temperatures),
                "candidate": int(self.key),
                "offset_seconds": wish.offset,
                "total_seconds": wish.total,
                "midi_seconds": prompt.midi_seconds if prompt else None,
            },
        )
        settings = plain_settings(
            artist=wish.artist,
            genre=wish.genre,
            lyrics=wish.lyrics,
            seconds=wish.seconds,
            temperatures=list(wish.temperatures),
            candidate=int(self.key),
            level=self.names[level],
            begins_with=prompt.name if prompt else None,
            begins_with_seconds=wish.kept if prompt else None,
            offset_seconds=wish.offset or None,
            total_seconds=wish.total,
        )
        origin = Origin(
            action=in_words(f"{'Upsample' if level else 'Make'} {self.title}"),
            model=wish.model,
            settings=settings,
            seed=wish.seed,
            parents=ledger.parents,
            calls=(call,),
            files=ledger.files,
        )
        return Clip.from_audio(audio.to_wav_bytes(self.sounds[level], self.entry.sample_rate), self.title, origin=origin)

    @property
    def title(self) -> str:
        return f"{self.song.wish.title}, candidate {self.key}"

    # ---- How it is shown

    def card(self) -> dict[str, Any]:
        """Its top level, small."""
        done = self._written(0)
        busy = self.is_busy and not self.is_ready
        if busy:
            detail = (self.now.text if self.now else "") or "getting ready"
        elif self.is_ready:
            detail = f"{self.seconds:.1f} seconds"
        else:
            detail = f"stopped at {100 * done // self.totals[0]} %" if done else "not begun"
        heard = self._take(0) if 0 in self.sounds else None
        return candidate_card(
            self.key,
            detail=detail,
            seconds=heard["seconds"] if heard else 0.0,
            goal=self.seconds,
            wave=heard["wave"] if heard else None,
            wav=heard["wav"] if heard else None,
            busy=busy,
            share=done / self.totals[0],
            ready=self.is_ready,
        )

    def view(self, ranks: list[np.ndarray]) -> dict[str, Any]:
        """All of it, large; `ranks` are the places of codes on the scale of colours, for each level from the top."""
        levels = range(len(self.totals))
        upsampling = self.key in self.song.upsampled
        return jukebox_view_value(
            [self._take(level) for level in levels if level in self.sounds],
            key=f"{self.song.token[:8]}-{self.key}",
            title=self.title,
            seconds=self.seconds,
            detail=f"{self.seconds:.1f} seconds, seed {self.song.wish.seed}",
            levels=[self._strip(level, ranks[level]) for level in levels],
            words=self.words,
            legend=self._legend(),
            run={"busy": self.is_busy, "levels": [self._bar(level) for level in levels]} if upsampling else None,
        )

    def _take(self, level: int) -> dict[str, Any]:
        from hub_models import audio

        if level not in self._takes:
            samples, rate = self.sounds[level], self.entry.sample_rate
            part = "" if self.is_done(level) or level == 0 else f"{self._reach(level):.1f} seconds of it are of this level"
            self._takes[level] = take(
                f"level-{level}",
                f"{self.names[level]} level",
                len(samples) / rate,
                wave=sounds.wave_picture(samples),
                wav=audio.to_wav_bytes(samples, rate),
                detail=part,
            )
        return self._takes[level]

    def _reach(self, level: int) -> float:
        return len(self.codes[level]) * self.entry.hops[level] / self.entry.sample_rate

    def _strip(self, level: int, ranks: np.ndarray) -> dict[str, Any]:
        count = len(self.codes[level])
        if self._pictures.get(level, (-1,))[0] != count:
            per_column = self.entry.hops[0] // self.entry.hops[level]
            self._pictures[level] = count, code_picture(self.codes[level], self.totals[level], per_column, ranks)
        label = f"Codes of the {self.names[level].lower()} level: {count:,} of {self.totals[level]:,}"
        return level_strip(self.names[level], label, self._pictures[level][1], count < self.totals[level])

    def _written(self, level: int) -> int:
        """Codes of a level, with those that are not counted yet."""
        ahead = self.now.ahead if self.now and self.now.level == level else 0
        return min(self.totals[level], len(self.codes[level]) + ahead)

    def _bar(self, level: int) -> dict[str, Any]:
        done, total = self._written(level), self.totals[level]
        is_now = self.is_busy and self.now is not None and self.now.level == level and not self.is_done(level)
        if is_now:
            text = self.now.text or "getting ready"
        elif self.is_done(level):
            text = f"{total:,} codes" + (f" in {clock(self._seconds[level])}" if level in self._seconds else "")
        else:
            text = f"{done:,} of {total:,} codes" if done else f"{total:,} codes to come"
        return {"name": self.names[level], "done": done, "total": total, "text": text, "now": is_now}

    def _legend(self) -> str:
        factors = [self.entry.hops[0] // hop for hop in self.entry.hops[1:]]
        moment = 1000 * self.entry.hops[0] / self.entry.sample_rate
        below = f" and the {' and '.join(map(str, factors))} below it" if factors else ""
        return f"A column: a code of the top level, {moment:.1f} ms,{below}."
