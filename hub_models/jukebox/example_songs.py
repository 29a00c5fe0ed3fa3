"""Make sound to train a small Jukebox on, with artists, genres and lyrics that can be heard.

python -m hub_models.jukebox.example_songs --data DIR --output DIR --hours 3

Tunes from DIR/pop909, DIR/multitrack_free, DIR/folk and DIR/groove are arranged for a few instruments (the artists; the
collection is the genre), and espeak-ng says random sentences and nursery rhymes on the beat. OUTPUT receives mono 16-bit
FLAC files of 12 to 30 seconds, songs.jsonl, which training reads, and SUMMARY.md. The same seed gives the same files; a
second start goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile
from tqdm.auto import tqdm

from hub_models import midi as midi_border
from hub_models.training import DataFile, NoTrainingDataError

from .example_songs_music import (
    BAND_ARTIST,
    DRUMS_ARTIST,
    SOLO_ARTISTS,
    arrange,
    excerpt_of,
    play,
    read_lead_sheet_tune,
    read_midi_tune,
)
from .example_songs_sources import GENRES, RHYMES, SPOKEN, find_pieces
from .example_songs_voice import (
    BEAT_SECONDS,
    BEATS_PER_LINE,
    NURSERY_RHYMES,
    PEAK,
    VALIDATION_RHYMES,
    VOICES,
    SpeechError,
    TimedWord,
    random_lyrics,
    random_syllables,
    require_espeak,
    say_lyrics,
)

SETTINGS_VERSION = 2
TUNE_ARTISTS = (*SOLO_ARTISTS, BAND_ARTIST)
ARTISTS_PER_EXCERPT = 2
SECONDS = (12, 24)  # of a piece of music, in whole seconds
LINES = (3, 5)  # of spoken lyrics: 12.5 to 20.5 seconds
ATTEMPTS = 200
CHECKED_TITLES = (
    "Andrew_Lloyd_Webber",
    "Campino",
    "Vladimir_Vavilov",
    "Don_George",
)  # of OpenEWLD: not in the public domain


# How much of the whole each genre is, divided evenly among its artists.
SHARES = {
    "classical": (0.198, TUNE_ARTISTS),
    "pop": (0.198, TUNE_ARTISTS),
    "folk": (0.198, TUNE_ARTISTS),
    "groove": (0.071, (DRUMS_ARTIST,)),
    "chant": (0.145, tuple(VOICES)),
    "poem": (0.115, tuple(VOICES)),
    "solfege": (0.05, tuple(VOICES)),
    "nursery": (0.025, tuple(VOICES)),
}


@dataclass(frozen=True)
class Song:
    """One file to be made; `number` counts those of the same artist, genre and split."""

    artist: str
    genre: str
    split: str
    number: int
    seed: int

    @property
    def file(self) -> str:
        return f"{self.split}/{self.genre}_{self.artist.replace(' ', '_')}_{self.number:04d}.flac"

    def random(self, *what: str | int) -> np.random.Generator:
        """Numbers that depend on the seed and `what`, and on nothing that has been made before."""
        return np.random.default_rng([self.seed, *(zlib.crc32(str(part).encode()) for part in what)])


def twice_if_short(rhyme: str) -> str:
    """A rhyme that would be over before the shortest piece of music is said once more."""
    return rhyme if (len(rhyme.split()) + 1) * BEAT_SECONDS >= SECONDS[0] else f"{rhyme}\n{rhyme}"


def expected_seconds(genre: str) -> float:
    """How long a song of the genre is on average."""
    if genre == "nursery":
        return float(np.mean([len(twice_if_short(rhyme).split()) + 1 for rhyme in NURSERY_RHYMES])) * BEAT_SECONDS
    return sum(SECONDS) / 2 if genre in GENRES else (sum(LINES) / 2 * BEATS_PER_LINE + 1) * BEAT_SECONDS


def plan(hours: float, validation_share: float, seed: int) -> list[Song]:
    """All songs of a set, for training and for validation, in a fixed order; at least one of each kind and split."""
    songs = []
    for genre, (share, artists) in SHARES.items():
        for artist in artists:
            for split, part in (("train", 1 - validation_share), ("validation", validation_share)):
                count = max(1, round(3600 * hours * share / len(artists) * part / expected_seconds(genre)))
                songs += [Song(artist, genre, split, number, seed) for number in range(count)]
    return songs


def read_tune(path: str, artist: str) -> pretty_midi.PrettyMIDI:
    """What the artist plays of: a tune, or for drums the performance as it is.

    Raises:
        ValueError: the file is broken or holds no tune.
    """
    if artist == DRUMS_ARTIST:
        return midi_border.load(path)
    return read_lead_sheet_tune(path) if path.endswith(".mxl") else read_midi_tune(path)


def make_music(song: Song, pieces: Sequence[DataFile], sample_rate: int) -> tuple[np.ndarray, str]:
    """An excerpt of a piece of the genre; two artists play each excerpt.

    Returns:
        (samples,) float32 and the name of the piece.

    Raises:
        NoTrainingDataError: no piece gives an excerpt.
    """
    artists = SHARES[song.genre][1]
    excerpt_number = song.number
    if len(artists) > 1:
        place = (artists.index(song.artist) + song.number) % len(artists)
        excerpt_number = song.number * (len(artists) // ARTISTS_PER_EXCERPT) + place // ARTISTS_PER_EXCERPT
    random = song.random(song.genre, song.split, excerpt_number)
    for _ in range(ATTEMPTS):
        piece = pieces[random.integers(len(pieces))]
        seconds = int(random.integers(SECONDS[0], SECONDS[1] + 1))
        try:
            excerpt = excerpt_of(read_tune(piece.path, song.artist), seconds, random)
            return play(arrange(excerpt, song.artist), seconds, sample_rate), piece.name
        except ValueError:  # too short, too quiet, broken: another one
            continue
    raise NoTrainingDataError(f"{song.file}: none of {ATTEMPTS} tries gave music; there are {len(pieces)} pieces.")


def make_speech(song: Song, sample_rate: int) -> tuple[np.ndarray, str, list[TimedWord]]:
    """Lyrics said or sung by a voice: (samples,) float32, the lyrics, and when each word sounds.

    Raises:
        SpeechError: espeak-ng is missing or failed.
    """
    random = song.random(song.genre, song.split, song.artist, song.number)
    lines = int(random.integers(LINES[0], LINES[1] + 1))
    if song.genre == "nursery":
        numbers = [n for n in range(len(NURSERY_RHYMES)) if (n in VALIDATION_RHYMES) == (song.split == "validation")]
        lyrics, drums = twice_if_short(NURSERY_RHYMES[numbers[song.number % len(numbers)]]), False
    elif song.genre == "solfege":
        lyrics, drums = random_syllables(random, song.split, lines), False
    else:
        lyrics, drums = random_lyrics(random, song.split, lines), song.genre == "chant"
    audio, words = say_lyrics(lyrics, song.artist, sample_rate, sung=song.genre == "solfege", drums=drums)
    return audio, lyrics, words


def make_song(song: Song, pieces: dict[tuple[str, str], list[DataFile]], output: Path, sample_rate: int) -> dict:
    """Make one file, unless it is there, and give its line of songs.jsonl."""
    path = output / song.file
    record = path.with_suffix(".json")
    if path.exists() and record.exists():
        return json.loads(record.read_text())
    words, lyrics = [], ""
    if song.artist in VOICES:
        audio, lyrics, words = make_speech(song, sample_rate)
        source, name = (RHYMES if song.genre == "nursery" else SPOKEN), ""
    else:
        audio, name = make_music(song, pieces[song.genre, song.split], sample_rate)
        source = next(source for source in GENRES[song.genre] if name.startswith(source.beginning))
    audio = audio * np.float32(PEAK / np.abs(audio).max())
    seconds = len(audio) / sample_rate
    row = {
        "file": song.file,
        "artist": song.artist,
        "genre": song.genre,
        "lyrics": lyrics,
        "split": song.split,
        "seconds": seconds,
        "offset_seconds": 0.0,
        "total_seconds": seconds,
        "words": [{"word": word, "start": round(start, 5), "end": round(end, 5)} for word, start, end in words],
        "source": f"{source.folder}/{name}" if name else "",
        "licence": source.licence,
        "citation": source.citation,
    }
    temporary = path.with_suffix(".incomplete")
    soundfile.write(temporary, audio, sample_rate, format="FLAC", subtype="PCM_16")
    os.replace(temporary, path)
    record.write_text(json.dumps(row))
    return row


def summary(rows: Iterable[dict]) -> str:
    """Minutes by artist and genre, and by source, as Markdown."""
    rows = list(rows)
    minutes: Counter = Counter()
    for row in rows:
        minutes[row["artist"], row["genre"], row["split"]] += row["seconds"] / 60
        minutes[row["source"].split("/")[0] or "espeak-ng", row["licence"], row["citation"]] += row["seconds"] / 60
    lines = ["| artist | genre | minutes to train on | to validate on |", "| --- | --- | --- | --- |"]
    for artist, genre in sorted({(row["artist"], row["genre"]) for row in rows}):
        lines.append(
            f"| {artist} | {genre} | {minutes[artist, genre, 'train']:.1f} | {minutes[artist, genre, 'validation']:.1f} |"
        )
    lines += ["", "| source | licence | citation | minutes |", "| --- | --- | --- | --- |"]
    for key in sorted({(row["source"].split("/")[0] or "espeak-ng", row["licence"], row["citation"]) for row in rows}):
        lines.append(f"| {' | '.join(key)} | {minutes[key]:.1f} |")
    total = sum(row["seconds"] for row in rows) / 3600
    return f"{len(rows)} files, {total:.2f} hours\n\n" + "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".incomplete")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def check_settings(output: Path, settings: dict) -> None:
    """Two starts into one folder must agree, or the files would not be those that the settings promise.

    Raises:
        ValueError: they differ.
    """
    path = output / "settings.json"
    if path.exists() and (before := json.loads(path.read_text())) != settings:
        changed = [key for key in settings if before.get(key) != settings[key]]
        raise ValueError(f"{output} was begun with other settings ({', '.join(changed)}); choose another --output.")
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hub_models.jukebox.example_songs", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="with pop909, multitrack_free, folk and groove"
    )
    parser.add_argument("--splits", type=Path, metavar="DIR", help="where FOLDER/splits.csv are (default: --data)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--hours", type=float, default=3.0, help="of sound, validation included (default: %(default)s)")
    parser.add_argument("--validation-share", type=float, default=0.08, help="of it (default: %(default)s)")
    parser.add_argument("--sample-rate", type=int, default=22_050, metavar="HZ", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not (options.hours > 0 and 0 < options.validation_share < 1 and 8_000 <= options.sample_rate <= 44_100):
        parser.error("--hours must be above 0, --validation-share between 0 and 1, --sample-rate 8000 to 44100 Hz.")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Make what the command line asks for and say what came of it."""
    options = parse_arguments(arguments)
    try:
        require_espeak()
    except SpeechError as error:
        raise SystemExit(str(error)) from None
    pieces = find_pieces(options.data, options.splits or options.data)
    settings = {
        "version": SETTINGS_VERSION,
        "sample_rate": options.sample_rate,
        "seed": options.seed,
        "hours": options.hours,
        "validation_share": options.validation_share,
    }
    check_settings(options.output, settings)
    for split in ("train", "validation"):
        (options.output / split).mkdir(exist_ok=True)
    songs = plan(options.hours, options.validation_share, options.seed)
    make = partial(make_song, pieces=pieces, output=options.output, sample_rate=options.sample_rate)
    pool = multiprocessing.get_context("spawn").Pool(options.workers) if options.workers > 1 else None
    try:
        made = pool.imap(make, songs) if pool else map(make, songs)
        rows = list(tqdm(made, total=len(songs), desc="Making songs"))
    finally:
        if pool:
            pool.terminate()
    _write(options.output / "songs.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    _write(options.output / "SUMMARY.md", summary(rows))
    print(summary(rows))


if __name__ == "__main__":
    main()
