"""Words that a speech synthesiser says or sings on the beat, so that text and position alone tell what sounds.

espeak-ng says every word once per voice; its silence is cut off and the word is put where its beat is. Most words have
four letters: then the place of a word in the text is proportional to its time in the song.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import zlib
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import pretty_midi
import soundfile

from hub_models import audio as sound

from .example_songs_music import drum_pattern, play

ESPEAK = "espeak-ng"
WAV_HEADER_BYTES = 44
BEAT_SECONDS = 0.5
BEATS_PER_LINE = 8
PHRASE_WORDS = 4
LONGEST_WORD_SECONDS = 0.47
PEAK = 0.7
SOFT_DRUMS_PEAK = 0.15
SPEEDS = (170, 200, 230, 260, 300, 350, 400)  # words per minute; the first at which a word fits its beat is taken
PITCH_SETTINGS = range(5, 100, 10)  # of espeak-ng, tried for a note
SUNG_WORDS_PER_MINUTE = 110
AUDIBLE = 0.02  # of a word's peak: where it begins and ends
PHRASES_PER_VALIDATION_PHRASE = 12

ADJECTIVES = ("blue", "gold", "pink", "cold", "warm", "fast", "slow", "deep", "soft", "loud")
NOUNS = (
    "moon",
    "star",
    "rain",
    "wind",
    "fire",
    "snow",
    "lake",
    "tree",
    "bird",
    "fish",
    "wolf",
    "bear",
    "frog",
    "duck",
    "goat",
)
VERBS = ("jump", "walk", "sing", "play", "come", "look", "hide", "ride", "swim", "rest")
NUMBERS = ("four", "five", "nine")
TEMPLATES = (
    "this ADJECTIVE NOUN VERB",
    "must VERB with NOUN",
    "ADJECTIVE NOUN will VERB",
    "NUMBER ADJECTIVE NOUN VERB",
    "then VERB from NOUN",
    "NOUN NOUN VERB VERB",
)
WORD_CLASSES = {"ADJECTIVE": ADJECTIVES, "NOUN": NOUNS, "VERB": VERBS, "NUMBER": NUMBERS}
VOCABULARY = tuple(
    sorted({*ADJECTIVES, *NOUNS, *VERBS, *NUMBERS, *(word for line in TEMPLATES for word in line.split() if word.islower())})
)
SYLLABLES = {"do": 0, "re": 2, "mi": 4, "fa": 5, "so": 7, "la": 9, "ti": 11}  # semitones above the voice's lowest note
SPELLED = {
    "do": "doh",
    "re": "ray",
    "mi": "mee",
    "fa": "fah",
    "so": "soh",
    "la": "lah",
    "ti": "tee",
}  # so as to be said right

# All in the public domain: printed before 1900.
NURSERY_RHYMES = (
    "twinkle twinkle little star\nhow I wonder what you are\nup above the world so high\nlike a diamond in the sky",
    "mary had a little lamb\nits fleece was white as snow\nand everywhere that mary went\nthe lamb was sure to go",
    "baa baa black sheep\nhave you any wool\nyes sir yes sir\nthree bags full\none for the master\none for the dame\n"
    "and one for the little boy\nwho lives down the lane",
    "humpty dumpty sat on a wall\nhumpty dumpty had a great fall\nall the king's horses and all the king's men\n"
    "could not put humpty together again",
    "jack and jill went up the hill\nto fetch a pail of water\njack fell down and broke his crown\n"
    "and jill came tumbling after",
    "row row row your boat\ngently down the stream\nmerrily merrily merrily merrily\nlife is but a dream",
    "london bridge is falling down\nfalling down falling down\nlondon bridge is falling down\nmy fair lady",
    "one two buckle my shoe\nthree four knock at the door\nfive six pick up sticks\nseven eight lay them straight\n"
    "nine ten a good fat hen",
    "hey diddle diddle\nthe cat and the fiddle\nthe cow jumped over the moon\nthe little dog laughed to see such sport\n"
    "and the dish ran away with the spoon",
    "little miss muffet sat on a tuffet\neating her curds and whey\nalong came a spider who sat down beside her\n"
    "and frightened miss muffet away",
)
VALIDATION_RHYMES = (6, 9)


class SpeechError(RuntimeError):
    """The synthesiser is missing or failed; the message says what to do."""


@dataclass(frozen=True)
class Voice:
    """An espeak-ng voice, its pitch (0..99), and the frequency of its `do` when it sings."""

    name: str
    pitch: int
    do_hertz: float


VOICES = {"low voice": Voice("en-us", 45, 73.42), "high voice": Voice("en-us+f3", 60, 146.83)}


class TimedWord(NamedTuple):
    """A word of the lyrics and the seconds between which it sounds."""

    word: str
    start: float
    end: float


def require_espeak() -> str:
    """The path of espeak-ng.

    Raises:
        SpeechError: it is not installed.
    """
    program = shutil.which(ESPEAK)
    if program is None:
        raise SpeechError(f"{ESPEAK} is not installed; lyrics are spoken with it. On Debian: apt-get install {ESPEAK}")
    return program


def _speak(text: str, voice: Voice, pitch: int, words_per_minute: int, sample_rate: int, monotone: bool) -> np.ndarray:
    """(samples,) float32 from the first to the last audible sample, peak 1."""
    markup = f'<speak><prosody range="0">{text}</prosody></speak>' if monotone else f"<speak>{text}</speak>"
    command = [require_espeak(), "-v", voice.name, "-s", str(words_per_minute), "-p", str(pitch), "-m", "--stdout", markup]
    finished = subprocess.run(command, capture_output=True, check=False)
    if finished.returncode or len(finished.stdout) <= WAV_HEADER_BYTES:
        raise SpeechError(f"{ESPEAK} did not say {text!r}: {finished.stderr.decode(errors='replace').strip()}")
    spoken, spoken_rate = soundfile.read(io.BytesIO(_with_true_length(finished.stdout)), dtype="float32")
    if not spoken.any():
        raise SpeechError(f"{ESPEAK} gave silence for {text!r}.")
    spoken = sound.resample(spoken[None], spoken_rate, sample_rate)[0]
    spoken = spoken / np.abs(spoken).max()
    audible = np.flatnonzero(np.abs(spoken) > AUDIBLE)
    return spoken[audible[0] : audible[-1] + 1]


def _with_true_length(wav: bytes) -> bytes:
    """espeak-ng writes to a pipe before it knows how long the sound will be: the header's two lengths are put right."""
    data = len(wav) - WAV_HEADER_BYTES
    lengths = (data + WAV_HEADER_BYTES - 8).to_bytes(4, "little"), data.to_bytes(4, "little")
    return wav[:4] + lengths[0] + wav[8 : WAV_HEADER_BYTES - 4] + lengths[1] + wav[WAV_HEADER_BYTES:]


@lru_cache(maxsize=4096)
def spoken_word(word: str, artist: str, sample_rate: int) -> np.ndarray:
    """A word as one of `VOICES` says it, (samples,) float32, short enough for its beat, peak `PEAK`.

    Raises:
        SpeechError: espeak-ng is missing or failed, or the word is too long at any speed.
    """
    voice = VOICES[artist]
    for speed in SPEEDS:
        spoken = _speak(word, voice, voice.pitch, speed, sample_rate, monotone=True)
        if len(spoken) <= LONGEST_WORD_SECONDS * sample_rate:
            return _rounded_off(spoken, sample_rate)
    raise SpeechError(
        f"{word!r} takes {len(spoken) / sample_rate:.2f} seconds, longer than {LONGEST_WORD_SECONDS} at any speed."
    )


@lru_cache(maxsize=256)
def sung_syllable(syllable: str, artist: str, sample_rate: int) -> np.ndarray:
    """A syllable of `SYLLABLES` at its own note of the major scale, (samples,) float32, peak `PEAK`.

    espeak-ng's pitch control is coarse: the nearest setting is taken and the rest is made up for by resampling.

    Raises:
        SpeechError: espeak-ng is missing or failed.
    """
    voice = VOICES[artist]
    wanted = voice.do_hertz * 2 ** (SYLLABLES[syllable] / 12)

    @cache
    def attempt(setting: int) -> tuple[float, np.ndarray]:
        said = _speak(SPELLED[syllable], voice, setting, SUNG_WORDS_PER_MINUTE, sample_rate, monotone=True)
        return fundamental(said, sample_rate), said

    above = bisect_left(PITCH_SETTINGS, wanted, key=lambda setting: attempt(setting)[0])
    nearest = PITCH_SETTINGS[max(above - 1, 0) : above + 1]
    hertz, spoken = min(map(attempt, nearest), key=lambda sung: abs(np.log2(sung[0] / wanted)))
    times = np.arange(0, len(spoken) - 1, wanted / hertz)
    sung = np.interp(times, np.arange(len(spoken)), spoken).astype(np.float32)
    return _rounded_off(sung[: round(LONGEST_WORD_SECONDS * sample_rate)], sample_rate)


def fundamental(audio: np.ndarray, sample_rate: int) -> float:
    """Hz: the median over frames of the strongest autocorrelation between 55 and 450 Hz, interpolated."""
    frame, shortest, longest = round(0.05 * sample_rate), sample_rate // 450, sample_rate // 55
    found = []
    for start in range(0, len(audio) - frame - longest, frame // 4):
        window = audio[start : start + frame]
        if np.sqrt(np.mean(window**2)) < 0.1 * np.abs(audio).max():
            continue
        later = np.lib.stride_tricks.sliding_window_view(audio[start : start + frame + longest], frame)
        likeness = later @ window / np.sqrt((later**2).sum(1) * (window**2).sum() + 1e-9)
        inside = likeness[shortest:longest]
        peaks = np.flatnonzero((inside[1:-1] >= inside[:-2]) & (inside[1:-1] >= inside[2:])) + 1
        good = [peak for peak in peaks if inside[peak] > 0.95 * inside[peaks].max()] if len(peaks) else []
        if good:
            below, at, above = inside[good[0] - 1 : good[0] + 2]
            curve = below - 2 * at + above
            found.append(sample_rate / (shortest + good[0] + (0.5 * (below - above) / curve if curve else 0.0)))
    if not found:
        raise SpeechError("no voiced sound: the pitch cannot be told.")
    return float(np.median(found))


def _rounded_off(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    audio = audio.copy()
    fade = min(len(audio), round(0.015 * sample_rate))
    audio[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return audio * np.float32(PEAK / np.abs(audio).max())


def random_phrase(random: np.random.Generator, split: str) -> str:
    """Four words of a template, or, half the time, any four; no phrase belongs to both splits."""
    while True:
        if random.random() < 0.5:
            words = [str(random.choice(VOCABULARY)) for _ in range(PHRASE_WORDS)]
        else:
            template = TEMPLATES[random.integers(len(TEMPLATES))]
            words = [str(random.choice(WORD_CLASSES[word])) if word in WORD_CLASSES else word for word in template.split()]
        phrase = " ".join(words)
        held_out = zlib.crc32(phrase.encode()) % PHRASES_PER_VALIDATION_PHRASE == 0
        if held_out == (split == "validation"):
            return phrase


def random_lyrics(random: np.random.Generator, split: str, lines: int) -> str:
    """Lines of eight words of four letters."""
    return "\n".join(f"{random_phrase(random, split)} {random_phrase(random, split)}" for _ in range(lines))


def random_syllables(random: np.random.Generator, split: str, lines: int) -> str:
    """Lines of eight syllables that walk along the scale, now and then with a leap; no line belongs to both splits."""
    names = list(SYLLABLES)

    def line() -> str:
        place, walk = int(random.integers(len(names))), []
        for _ in range(BEATS_PER_LINE):
            walk.append(names[place])
            steps = random.choice([-2, -1, 0, 1, 2, 4, -4], p=[0.12, 0.28, 0.12, 0.28, 0.12, 0.04, 0.04])
            place = min(max(place + int(steps), 0), len(names) - 1)
        return " ".join(walk)

    written: list[str] = []
    while len(written) < lines:
        candidate = line()
        if (zlib.crc32(candidate.encode()) % PHRASES_PER_VALIDATION_PHRASE == 0) == (split == "validation"):
            written.append(candidate)
    return "\n".join(written)


@lru_cache(maxsize=16)
def _soft_drums(beats: int, sample_rate: int) -> np.ndarray:
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(drum_pattern([(beat * BEAT_SECONDS, beat % 4) for beat in range(beats)], soft=True))
    audio = play(midi, beats * BEAT_SECONDS, sample_rate)
    return audio * np.float32(SOFT_DRUMS_PEAK / np.abs(audio).max())


def say_lyrics(
    lyrics: str, artist: str, sample_rate: int, sung: bool = False, drums: bool = False
) -> tuple[np.ndarray, list[TimedWord]]:
    """Every word on its own beat, the first one at 0, and a beat of rest at the end.

    Args:
        lyrics: words between white space.
        artist: one of `VOICES`.
        sung: they are syllables of `SYLLABLES` and sound at their notes.
        drums: a soft pattern of drums goes along.

    Returns:
        (samples,) float32, peak `PEAK` or a little more, and the words with their seconds.

    Raises:
        SpeechError: espeak-ng is missing or failed.
    """
    words = lyrics.split()
    beat = round(BEAT_SECONDS * sample_rate)
    audio = _soft_drums(len(words) + 1, sample_rate).copy() if drums else np.zeros((len(words) + 1) * beat, np.float32)
    timed = []
    for number, word in enumerate(words):
        heard = sung_syllable(word, artist, sample_rate) if sung else spoken_word(word, artist, sample_rate)
        audio[number * beat : number * beat + len(heard)] += heard
        start = number * beat / sample_rate
        timed.append(TimedWord(word, start, start + len(heard) / sample_rate))
    return audio, timed
