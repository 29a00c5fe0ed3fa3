"""SoundFonts for symusic's synthesiser, which leaves out part of the tuning that a SoundFont asks for.

`tuned(path)` gives a copy that it plays in tune. symusic 0.5.9 (found by trial, with SoundFonts of one sine tone)

- ignores a zone's root key (generator 58) and scale tuning (56), and cuts coarse and fine tuning off at 120 cents;
- cuts a loop to whole samples at the rate and pitch that is played: a short loop is out of tune by up to a semitone,
  and one of less than a sample never ends;
- ignores loop ends that a zone moves back (generators 3 and 50);
- makes envelopes 1,024 times too short where a preset says nothing of them, as presets rarely do;
- keeps a pitch of a sample, once played, under the place of its first sample: another zone that tunes or softens the same
  sample otherwise then sounds like the first.

So in the copy all this stands in sample headers, one for each tuning of a sample, where the synthesiser obeys it; short
loops are repeated; and the headers of one sample begin at different places, one sample of silence apart.

The format: SoundFont Technical Specification 2.04, section 7 (records) and 8.1.2 (generators).
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

CACHE_VERSION = 2
MAX_BYTES = 2_000_000_000
MAX_RECORDS = 65_535  # the indices in the file have 16 bits
# Loops are repeated until they last so many samples. Two octaves up at half the rate 512 are left: 3 cents at worst.
MIN_LOOP = 4096
MAX_SAMPLE_RATE = 65_535  # the synthesiser takes a rate for one of 16 bits
LOWEST_RENDER_RATE = 22_050
# The synthesiser rounds a sample's length, and may read a little beyond the end of its loop.
GUARD = 16

# Generators (section 8.1.2).
START, END, LOOP_START, LOOP_END = (0, 4), (1, 12), (2, 45), (3, 50)  # offsets in samples, and in 32,768 samples
INSTRUMENT, KEY_RANGE, KEY, VELOCITY, ATTENUATION = 41, 43, 46, 47, 48
COARSE_TUNE, FINE_TUNE, SAMPLE, LOOP_MODE, SCALE_TUNE, ROOT_KEY = 51, 52, 53, 54, 56, 58
# What goes into sample headers, and what the synthesiser misreads (a zone of one velocity or key as a narrower range).
FOLDED = {*START, *END, *LOOP_START, *LOOP_END, KEY, VELOCITY, COARSE_TUNE, FINE_TUNE, SCALE_TUNE, ROOT_KEY}
# What the synthesiser does nothing with: modulation of pitch, vibrato, chorus, reverb, exclusive classes.
UNHEARD = {5, 6, 7, 15, 16, 23, 24, 31, 32, 39, 40, 57}
# Delay, attack, hold, decay and release of the volume envelope, in timecents that are added to an instrument's. The
# synthesiser adds -12,000 where a preset says nothing, which makes every note a click; and it falls linearly in amplitude
# where the standard falls in dB, so that a fifth of the time (-2,786) sounds as long.
ENVELOPE_TIMES = {33: 0, 34: 0, 35: 0, 36: -2786, 38: -2786}
UNPITCHED = 60  # the root of samples that name none

_BAG = [("generator", "<u2"), ("modulator", "<u2")]
_GENERATOR = [("kind", "<u2"), ("amount", "<i2")]
RECORDS = {
    "phdr": [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("other", "<u4", 3)],
    "pbag": _BAG,
    "pgen": _GENERATOR,
    "inst": [("name", "S20"), ("bag", "<u2")],
    "ibag": _BAG,
    "igen": _GENERATOR,
    "shdr": [
        *[("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"), ("rate", "<u4")],
        *[("root", "u1"), ("correction", "i1"), ("link", "<u2"), ("type", "<u2")],
    ],
}
Zone = dict[int, int]  # generator -> amount


class SoundFontError(ValueError):
    """A file is no SoundFont 2, or a broken or too large one; the message says which."""


class Recording(NamedTuple):
    """A stretch of sound in the file: places are samples, in a compressed SoundFont (version 3) bytes."""

    start: int
    end: int
    loop_start: int
    loop_end: int
    loop_mode: int
    rate: int


@dataclass
class SoundFont:
    """What a file holds.

    Attributes:
        name: of the file.
        version: 2, or 3 with compressed samples.
        sound: (samples,) int16, in version 3 (bytes,) uint8.
        presets: records `phdr` and the zones of each.
        instruments: names and the zones of each.
        samples: records `shdr`.
    """

    name: str
    version: int
    sound: np.ndarray
    presets: list[tuple[np.void, list[Zone]]]
    instruments: list[tuple[bytes, list[Zone]]]
    samples: np.ndarray


def tuned(path: str | os.PathLike, cache_folder: Path | None = None) -> Path:
    """A copy of a SoundFont that symusic plays in tune; made once, then kept.

    Args:
        path: an .sf2 file.
        cache_folder: where copies are kept, named by the content of the original; default: `encore/soundfonts` in the
            cache of Hugging Face. One that cannot be written to is replaced by a temporary one for this process.

    Raises:
        SoundFontError: this is no SoundFont, or it is broken or too large.
    """
    path = Path(path).resolve()
    status = path.stat()
    if status.st_size > MAX_BYTES:
        raise SoundFontError(f"{path.name} has {status.st_size:,} bytes; a SoundFont may have at most {MAX_BYTES:,}.")
    copy = _tuned(path, status.st_size, status.st_mtime_ns, cache_folder)
    if not copy.is_file():  # somebody emptied the cache
        _tuned.cache_clear()
        copy = _tuned(path, status.st_size, status.st_mtime_ns, cache_folder)
    return copy


@lru_cache(maxsize=32)
def _tuned(path: Path, size: int, changed: int, cache_folder: Path | None) -> Path:
    if cache_folder is None:
        from huggingface_hub.constants import HF_HOME

        cache_folder = Path(HF_HOME) / "encore" / "soundfonts"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = f"{digest[:20]}-{CACHE_VERSION}.sf2"
    if (cache_folder / name).is_file():
        return cache_folder / name
    parts = tune(read(path))
    try:
        return _write(parts, cache_folder / name)
    except OSError:
        return _write(parts, Path(_temporary_folder().name) / name)


@cache
def _temporary_folder() -> tempfile.TemporaryDirectory:
    """Deleted when the process ends."""
    return tempfile.TemporaryDirectory(prefix="encore-soundfonts-")


def _write(parts: list[bytes | np.ndarray], path: Path) -> Path:
    """Write beside the place and move there, so that what is there is always whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".incomplete-") as folder:
        unfinished = Path(folder) / path.name
        with unfinished.open("wb") as file:
            for part in parts:
                file.write(part)
        os.replace(unfinished, path)
    return path


def read(path: Path) -> SoundFont:
    """Read a SoundFont that nobody has vouched for.

    Raises:
        SoundFontError: it is none, or broken.
    """
    try:
        content = np.memmap(path, np.uint8, "r")
    except ValueError:
        raise SoundFontError(f"{path.name} is empty, not a SoundFont.") from None
    if content[:4].tobytes() != b"RIFF" or content[8:12].tobytes() != b"sfbk":
        raise SoundFontError(f"{path.name} is not a SoundFont 2 file.")
    chunks = {}
    for kind, body in _chunks(content[12:], path.name):
        if kind == "LIST":
            chunks.update(_chunks(body[4:], path.name))
    missing = [kind for kind in ("ifil", "smpl", *RECORDS) if kind not in chunks]
    if missing:
        raise SoundFontError(f"{path.name} is not a whole SoundFont: it has no {', '.join(missing)}.")
    version = int.from_bytes(chunks["ifil"][:2].tobytes(), "little")
    if version not in (2, 3):
        raise SoundFontError(f"{path.name} is a SoundFont of version {version}; only 2 and 3 can be played.")
    records = {kind: _records(chunks[kind], kind, path.name) for kind in RECORDS}
    sound = chunks["smpl"] if version == 3 else chunks["smpl"][: len(chunks["smpl"]) // 2 * 2].view("<i2")
    presets = zip(records["phdr"][:-1], _zones(records, "phdr", "pbag", "pgen", path.name), strict=True)
    names = [bytes(instrument["name"]) for instrument in records["inst"][:-1]]
    instruments = zip(names, _zones(records, "inst", "ibag", "igen", path.name), strict=True)
    return SoundFont(path.name, version, sound, list(presets), list(instruments), records["shdr"][:-1])


def _chunks(content: np.ndarray, name: str) -> Iterator[tuple[str, np.ndarray]]:
    place = 0
    while place + 8 <= len(content):
        size = int.from_bytes(content[place + 4 : place + 8].tobytes(), "little")
        if place + 8 + size > len(content):
            raise SoundFontError(f"{name} is cut short: {size:,} bytes announced, {len(content) - place - 8:,} there.")
        yield content[place : place + 4].tobytes().decode("latin-1"), content[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _records(content: np.ndarray, kind: str, name: str) -> np.ndarray:
    dtype = np.dtype(RECORDS[kind])
    if len(content) % dtype.itemsize or not len(content):
        raise SoundFontError(f"{name} is broken: its {kind} has {len(content):,} bytes, not records of {dtype.itemsize}.")
    return np.frombuffer(content.tobytes(), dtype)


def _zones(records: dict[str, np.ndarray], groups: str, bags: str, generators: str, name: str) -> list[list[Zone]]:
    """The generators of every zone of every preset or instrument; the last record of each kind only marks the end."""
    bag_of = records[groups]["bag"].astype(int).tolist()
    first = records[bags]["generator"].astype(int).tolist()
    amounts = list(zip(records[generators]["kind"].tolist(), records[generators]["amount"].tolist(), strict=True))
    for what, places, count in ((groups, bag_of, len(first) - 1), (bags, first, len(amounts))):
        if sorted(places) != places or places[-1] > count:
            raise SoundFontError(f"{name} is broken: its {what} points outside of what there is.")
    zones = [dict(amounts[begin:end]) for begin, end in pairwise(first)]
    return [zones[begin:end] for begin, end in pairwise(bag_of)]


def _resolve(zones: list[Zone], target: int) -> tuple[Zone, list[Zone]]:
    """The global zone (empty when there is none), and the zones that lead to an instrument or sample."""
    shared = zones[0] if zones and target not in zones[0] else {}
    return shared, [zone for zone in zones if target in zone]


@dataclass
class _Tuning:
    """Collects the headers that the zones of a SoundFont need."""

    font: SoundFont
    # Of each recording: the tunings (and loudnesses) it is used with. Each gets a first sample of its own.
    variants: dict[Recording, dict[tuple, int]] = field(default_factory=dict)
    # (index of the sample, recording, variant, root key, cents) -> index of its header.
    headers: dict[tuple[int, Recording, int, int, int], int] = field(default_factory=dict)

    def zones(self, shared: Zone, zone: Zone, preset: Zone) -> Iterator[Zone]:
        """What a zone of an instrument becomes in a preset: one zone, one for each key, or none where it has no sound."""
        amounts = {**shared, **zone}
        index = amounts[SAMPLE] & 0xFFFF
        recording = self._recording(index, amounts)
        if recording is None:
            return
        sample = self.font.samples[index]
        root = amounts.get(ROOT_KEY, -1)
        root = root if 0 <= root <= 127 else int(sample["root"]) if sample["root"] <= 127 else UNPITCHED
        cents = 100 * _sum(COARSE_TUNE, amounts, preset) + _sum(FINE_TUNE, amounts, preset) + int(sample["correction"])
        root -= 12 * math.log2(sample["rate"] / recording.rate)
        lowest, highest = _range(amounts.get(KEY_RANGE, 0x7F00))
        highest = min(highest, 127)
        if self._loop_length(recording) * 2 ** ((root - highest - 2) / 12) * LOWEST_RENDER_RATE < recording.rate:
            recording = recording._replace(loop_start=recording.start, loop_end=recording.end, loop_mode=0)
        scale = amounts.get(SCALE_TUNE, 100) + preset.get(SCALE_TUNE, 0)
        fixed_key = amounts.get(KEY, -1)
        kept = _kept(zone)
        if recording.loop_mode != amounts.get(LOOP_MODE, 0):
            kept[LOOP_MODE] = recording.loop_mode
        variant = (root, cents, scale, fixed_key, _sum(ATTENUATION, amounts, preset))
        if scale == 100 and fixed_key < 0:
            yield kept | {SAMPLE: self._header(index, recording, variant, root - cents / 100)}
            return
        for key in range(lowest, highest + 1):
            sounding = (fixed_key if fixed_key >= 0 else key) - root
            header = self._header(index, recording, variant, key - sounding * scale / 100 - cents / 100)
            yield kept | {KEY_RANGE: key << 8 | key, SAMPLE: header}

    def _recording(self, index: int, amounts: Zone) -> Recording | None:
        """Where the sound of a zone is; None: it is in the synthesiser's ROM or nowhere, and the zone is left out."""
        if index >= len(self.font.samples):
            return None
        sample = self.font.samples[index]
        start, end, loop_start, loop_end = (int(sample[name]) for name in ("start", "end", "loop_start", "loop_end"))
        if self.font.version == 2:
            start, end = start + _offset(START, amounts), end + _offset(END, amounts)
            loop_start, loop_end = loop_start + _offset(LOOP_START, amounts), loop_end + _offset(LOOP_END, amounts)
        if not (0 <= start < end <= len(self.font.sound)) or sample["type"] & 0x8000 or not sample["rate"]:
            return None
        mode = amounts.get(LOOP_MODE, 0) & 3
        if self.font.version == 2 and (mode in (0, 2) or not start <= loop_start < loop_end <= end):
            loop_start, loop_end, mode = start, end, 0
        rate = int(sample["rate"])
        while rate > MAX_SAMPLE_RATE:
            rate //= 2
        return Recording(start, end, loop_start, loop_end, mode, rate)

    def _loop_length(self, recording: Recording) -> int:
        """Samples of the loop as it will be in the new file."""
        length = recording.loop_end - recording.loop_start
        return length if self.font.version == 3 else -(-MIN_LOOP // length) * length

    def _header(self, index: int, recording: Recording, variant: tuple, root: float) -> int:
        """The index of the header that tunes a recording to sound as recorded at key `root`."""
        variants = self.variants.setdefault(recording, {})
        number = variants.setdefault(variant, len(variants))
        key = min(max(round(root), 0), 127)
        # The synthesiser takes at most 120 cents: a root further outside of 0..127, of no use, stays out of tune.
        cents = min(max(round(100 * (key - root)), -120), 120)
        return self.headers.setdefault((index, recording, number, key, cents), len(self.headers))

    def sound(self) -> tuple[list[np.ndarray], dict[tuple[Recording, int], tuple[int, int, int, int]]]:
        """The sound of the new file, in pieces, and start, end, loop start and loop end of every variant."""
        pieces, places, length = [], {}, 0
        silence = np.zeros(46, self.font.sound.dtype)  # stands after every sample (section 6.1)
        for recording, variants in self.variants.items():
            if (length + recording.end - recording.start) * self.font.sound.itemsize > MAX_BYTES:
                raise SoundFontError(f"{self.font.name} is too large: tuned, it has more than {MAX_BYTES:,} bytes.")
            if self.font.version == 3:  # nothing can be put before compressed sound
                body = np.asarray(self.font.sound[recording.start : recording.end])
                for number in range(len(variants)):
                    place = (length, length + len(body), recording.loop_start, recording.loop_end)
                    places[recording, number] = place
                    pieces.append(body)
                    length += len(body)
                continue
            body, loop_end = _body(self.font.sound, recording)
            first = length + len(variants) - 1
            end = first + sum(map(len, body))
            for number in range(len(variants)):
                loop_start = first + recording.loop_start - recording.start
                places[recording, number] = (length + number, end, loop_start, first + loop_end)
            pieces += [np.zeros(len(variants) - 1, self.font.sound.dtype), *body, silence]
            length = end + len(silence)
        return pieces, places


def _body(sound: np.ndarray, recording: Recording) -> tuple[list[np.ndarray], int]:
    """The samples of a recording with its loop repeated, in pieces, and where the loop ends in them."""
    if recording.loop_mode == 0:
        return [sound[recording.start : recording.end]], recording.end - recording.start
    loop = sound[recording.loop_start : recording.loop_end]
    repeats = -(-MIN_LOOP // len(loop)) - 1
    rest = sound[recording.loop_end : recording.end] if recording.loop_mode == 3 else loop[:0]
    if len(rest) < GUARD:
        rest = np.resize(loop, GUARD)
    body = [sound[recording.start : recording.loop_end], np.tile(loop, repeats), rest]
    return body, recording.loop_end - recording.start + repeats * len(loop)


def tune(font: SoundFont) -> list[bytes | np.ndarray]:
    """The file of the tuned SoundFont, in pieces to be written one after the other.

    Raises:
        SoundFontError: it has more zones, generators or samples than a file can count.
    """
    tuning = _Tuning(font)
    instruments: dict[tuple, int] = {}  # (index, what the preset adds to it) -> index of the new instrument
    instrument_zones: list[list[Zone]] = []
    preset_zones = []
    for _, zones in font.presets:
        shared, leading = _resolve(zones, INSTRUMENT)
        new_zones = [_kept(shared)] if shared else []
        for zone in leading:
            added = {kind: ({**shared, **zone}).get(kind, 0) for kind in (COARSE_TUNE, FINE_TUNE, SCALE_TUNE, ATTENUATION)}
            key = (zone[INSTRUMENT] & 0xFFFF, tuple(added.values()))
            if key[0] >= len(font.instruments):
                raise SoundFontError(f"{font.name} is broken: a preset uses instrument {key[0]} of {len(font.instruments)}.")
            if key not in instruments:
                instruments[key] = len(instruments)
                instrument_zones.append(_instrument(tuning, font.instruments[key[0]][1], added))
            times = {kind: zone.get(kind, (shared or {}).get(kind, 0)) + added for kind, added in ENVELOPE_TIMES.items()}
            new_zones.append(_kept(zone) | times | {INSTRUMENT: instruments[key]})
        preset_zones.append(new_zones)
    pieces, places = tuning.sound()
    records = {"shdr": _sample_headers(tuning, places)}
    records["phdr"], records["pbag"], records["pgen"] = _group_records("phdr", preset_zones, font.name, INSTRUMENT)
    for number, (record, _) in enumerate(font.presets):
        for name in ("name", "program", "bank", "other"):
            records["phdr"][number][name] = record[name]
    records["inst"], records["ibag"], records["igen"] = _group_records("inst", instrument_zones, font.name, SAMPLE)
    for (index, _), number in instruments.items():
        records["inst"][number]["name"] = font.instruments[index][0]
    return _file(font.version, pieces, {kind: record.tobytes() for kind, record in records.items()}, font.name)


def _instrument(tuning: _Tuning, zones: list[Zone], preset: Zone) -> list[Zone]:
    shared, leading = _resolve(zones, SAMPLE)
    new_zones = [new for zone in leading for new in tuning.zones(shared, zone, preset)]
    return [_kept(shared), *new_zones] if shared else new_zones


def _kept(zone: Zone) -> Zone:
    """Without the generators that have gone into headers, that are not heard, or that do not exist."""
    return {kind: amount for kind, amount in zone.items() if kind <= ROOT_KEY and kind not in FOLDED | UNHEARD}


def _sample_headers(tuning: _Tuning, places: dict) -> np.ndarray:
    headers = np.zeros(len(tuning.headers) + 1, RECORDS["shdr"])
    for number, (index, recording, variant, root, cents) in enumerate(tuning.headers):
        name = tuning.font.samples[index]["name"]
        # Links between the sides of stereo samples are left out: each side is played by a zone of its own.
        headers[number] = (name, *places[recording, variant], recording.rate, root, cents, 0, 1)
    headers[-1]["name"] = b"EOS"
    return headers


def _group_records(kind: str, groups: list[list[Zone]], name: str, target: int) -> tuple[np.ndarray, ...]:
    """Headers (only their bags filled in), bags and generators; key and velocity ranges come first, the target last."""
    order = {KEY_RANGE: -2, KEY_RANGE + 1: -1, target: 99}
    zones = [sorted(zone.items(), key=lambda entry: order.get(entry[0], entry[0])) for group in groups for zone in group]
    headers = np.zeros(len(groups) + 1, RECORDS[kind])
    generators = [entry for zone in zones for entry in zone]
    if max(len(zones), len(generators), len(groups)) >= MAX_RECORDS:
        raise SoundFontError(f"{name} is too large: {len(zones):,} zones with {len(generators):,} generators.")
    headers["bag"] = np.cumsum([0, *map(len, groups)])
    headers[-1]["name"] = b"EOP" if kind == "phdr" else b"EOI"
    bags = np.zeros(len(zones) + 1, _BAG)
    bags["generator"] = np.cumsum([0, *map(len, zones)])
    records = np.zeros(len(generators) + 1, _GENERATOR)
    for number, (generator, amount) in enumerate(generators):
        records[number] = (generator, (amount + 0x8000) % 0x10000 - 0x8000)
    return headers, bags, records


def _file(version: int, sound: list[np.ndarray], records: dict[str, bytes], name: str) -> list[bytes | np.ndarray]:
    if len(records["shdr"]) // 46 > MAX_RECORDS:
        raise SoundFontError(f"{name} is too large: it needs {len(records['shdr']) // 46:,} tuned samples.")
    information = b"INFO" + _chunk("ifil", version.to_bytes(2, "little") + b"\1\0")
    modulators = {"pmod": bytes(10), "imod": bytes(10)}  # only the record that marks the end: they are not played
    order = ("phdr", "pbag", "pmod", "pgen", "inst", "ibag", "imod", "igen", "shdr")
    hydra = b"pdta" + b"".join(_chunk(kind, (records | modulators)[kind]) for kind in order)
    size = sum(piece.nbytes for piece in sound)
    padding = bytes(size % 2)
    before, after = _chunk("LIST", information), _chunk("LIST", hydra)
    total = 4 + len(before) + 20 + size + len(padding) + len(after)
    samples = b"LIST" + (12 + size + len(padding)).to_bytes(4, "little") + b"sdtasmpl" + size.to_bytes(4, "little")
    return [b"RIFF" + total.to_bytes(4, "little") + b"sfbk" + before + samples, *sound, padding + after]


def _chunk(kind: str, content: bytes) -> bytes:
    return kind.encode() + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def _sum(kind: int, *zones: Zone) -> int:
    return sum(zone.get(kind, 0) for zone in zones)


def _offset(kinds: tuple[int, int], amounts: Zone) -> int:
    fine, coarse = kinds
    return amounts.get(fine, 0) + 32_768 * amounts.get(coarse, 0)


def _range(amount: int) -> tuple[int, int]:
    return amount & 0xFF, amount >> 8 & 0xFF
