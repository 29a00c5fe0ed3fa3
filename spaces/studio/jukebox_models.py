"""The Jukebox models that are there, described by their folders alone: rates, lengths, levels, and names that they know."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from engine import model_type, models_folder
from validate import StudioError

if TYPE_CHECKING:
    from hub_models.jukebox import JukeboxConfig

logger = logging.getLogger("encore.studio")

BUNDLED = "jukebox-tiny"
MODEL_TYPE = "jukebox"
# What is computed for one person at once.
MAX_SECONDS = 60.0
MIN_SECONDS = 1.5
# Of long lists of names so many are offered; the others may be typed.
MAX_OFFERED = 400
# Of each level, the top first: of the original's scripts, and what sounds best of models that are small.
TEMPERATURES, OWN_TEMPERATURES = (0.98, 0.99, 0.99), {BUNDLED: (0.95, 0.85, 0.8)}
LEVEL_NAMES = {1: ("Only",), 2: ("Top", "Fine"), 3: ("Top", "Middle", "Fine")}
NAMES_FILES = {"artist": "artists.json", "genre": "genres.json"}
OF_ANOTHER_VERSION = ".v2"  # ends names of bags of words in these files


@dataclass(frozen=True)
class JukeboxEntry:
    """A model's folder, described without loading it."""

    name: str
    folder: Path
    description: str

    @property
    def label(self) -> str:
        return self.description or self.name

    @cached_property
    def config(self) -> JukeboxConfig:
        """Raises StudioError where it cannot be read."""
        from hub_models.jukebox import JukeboxConfig

        try:
            return JukeboxConfig.from_pretrained(self.folder)
        except Exception as error:  # whatever a damaged file makes transformers raise
            raise damaged(self.name) from error

    @property
    def sample_rate(self) -> int:
        return self.config.vqvae_config.sampling_rate

    @property
    def hops(self) -> list[int]:
        """Samples per code of each level, the top first."""
        return [prior.hop_length for prior in self.config.prior_configs]

    @property
    def level_names(self) -> tuple[str, ...]:
        """Of each level, the top first."""
        count = self.config.nb_priors
        return LEVEL_NAMES.get(count) or tuple(f"Level {level + 1}" for level in range(count))

    @property
    def temperatures(self) -> tuple[float, ...]:
        """To begin with, of each level, the top first."""
        known = OWN_TEMPERATURES.get(self.name, TEMPERATURES)
        return tuple(known[min(level, len(known) - 1)] for level in range(self.config.nb_priors))

    @property
    def takes_lyrics(self) -> bool:
        return self.config.prior_configs[0].nb_relevant_lyric_tokens > 0

    @property
    def aligns_lyrics(self) -> bool:
        """Whether it tells when words are sung."""
        from hub_models.jukebox.alignment import check_alignment

        try:
            check_alignment(self.config.prior_configs[0])
        except ValueError:
            return False
        return True

    @property
    def min_seconds(self) -> float:
        """The shortest song: every level below the top needs a window."""
        windows = [self.window_seconds(level) for level in range(1, self.config.nb_priors)]
        least = max([MIN_SECONDS, *windows])
        return math.ceil(least * 10) / 10

    @property
    def min_seconds_to_go_on(self) -> float:
        """The shortest song that begins with a sound: it fills a window of the top level."""
        return max(self.min_seconds, math.ceil(self.window_seconds(0) * 10) / 10)

    @property
    def longest(self) -> float:
        """Seconds of the longest song that the model knows, of which what is made may be a part."""
        return float(math.floor(self.config.prior_configs[0].max_duration - 1))

    @property
    def max_seconds(self) -> float:
        """The longest song that is made."""
        return min(MAX_SECONDS, self.longest)

    def totals(self, seconds: float) -> tuple[int, ...]:
        """Codes of each level, the top first, of a song so long."""
        moments = int(seconds * self.sample_rate + 1e-6) // self.hops[0]
        return tuple(moments * (self.hops[0] // hop) for hop in self.hops)

    def window_seconds(self, level: int) -> float:
        """What a level hears at once; it is counted from the top."""
        prior = self.config.prior_configs[level]
        return prior.n_ctx * prior.hop_length / self.sample_rate

    @cached_property
    def artists(self) -> tuple[str, ...]:
        """Names that the model knows, in the order of its lists."""
        return self._names("artist")

    @cached_property
    def genres(self) -> tuple[str, ...]:
        return self._names("genre")

    def offered(self, kind: str) -> list[str]:
        """Names to choose from, at most `MAX_OFFERED`, in alphabetical order."""
        names = self.artists if kind == "artist" else self.genres
        return sorted(names[:MAX_OFFERED])

    def _names(self, kind: str) -> tuple[str, ...]:
        path = self.folder / NAMES_FILES[kind]
        if not path.is_file():
            return ()
        try:
            ids = json.loads(path.read_text(encoding="utf-8"))
            known = {name.removesuffix(OF_ANOTHER_VERSION): number for name, number in ids.items()}
        except (OSError, ValueError, AttributeError):
            logger.warning("the names of the model %s cannot be read", self.name)
            return ()
        return tuple(name for name, number in known.items() if name and number != 0)


def find_jukeboxes(folder: str | Path | None = None) -> list[JukeboxEntry]:
    """The Jukebox models in `folder` or $ENCORE_STUDIO_MODELS, else those bundled with Encore."""
    own = models_folder(folder)
    if own:
        found = [JukeboxEntry(path.parent.name, path.parent, "") for path in sorted(own.glob("*/config.json"))]
    else:
        from hub_models import list_bundled

        found = [JukeboxEntry(model.name, Path(model.path), model.description) for model in list_bundled()]
    found = [entry for entry in found if model_type(entry.folder) == MODEL_TYPE]
    return sorted(found, key=lambda entry: (entry.name != BUNDLED, entry.name))


def damaged(name: str) -> StudioError:
    """What is said of a model that cannot be read; what is wrong with it goes to the log."""
    logger.exception("loading %s failed", name)
    return StudioError(f"The model {name} cannot be loaded: its files are damaged or missing.")
