"""Lead sheets in MusicXML: a melody, chord symbols and beats, as much as an arrangement needs.

Only the first part and voice are read, straight through: repeats are not unfolded, ornaments are left out.
"""

import zipfile
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# The third and fifth above the root; all other kinds of MusicXML are major triads as far as three notes go.
TRIADS = {
    "minor": (3, 7),
    "minor-seventh": (3, 7),
    "minor-sixth": (3, 7),
    "minor-ninth": (3, 7),
    "minor-11th": (3, 7),
    "minor-13th": (3, 7),
    "major-minor": (3, 7),
    "diminished": (3, 6),
    "diminished-seventh": (3, 6),
    "half-diminished": (3, 6),
    "augmented": (4, 8),
    "augmented-seventh": (4, 8),
    "suspended-fourth": (5, 7),
    "suspended-second": (2, 7),
}
DEFAULT_QUARTERS_PER_MINUTE = 110.0


class LeadSheetError(ValueError):
    """A file is no lead sheet that can be read; the message says why."""


class SheetNote(NamedTuple):
    """A note of the melody: MIDI pitch, beginning and end in quarters."""

    pitch: int
    start: float
    end: float


class SheetChord(NamedTuple):
    """A chord symbol: pitch classes, root first, and where it begins, in quarters."""

    pitch_classes: tuple[int, int, int]
    start: float


class SheetBeat(NamedTuple):
    """A beat: where it is, in quarters, and its number in the bar, from 0."""

    start: float
    number: int


class LeadSheet(NamedTuple):
    """What a file holds; `quarters_per_minute` is its first tempo."""

    notes: list[SheetNote]
    chords: list[SheetChord]
    beats: list[SheetBeat]
    quarters_per_minute: float


def read_lead_sheet(path: str | Path) -> LeadSheet:
    """Read a compressed MusicXML file (.mxl).

    Raises:
        LeadSheetError: the file is broken or holds no score.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".xml") and not name.startswith("META-INF")]
            if not names:
                raise LeadSheetError(f"{Path(path).name} holds no score.")
            score = ElementTree.fromstring(archive.read(names[0]))
    except (zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise LeadSheetError(f"{Path(path).name} is no compressed MusicXML: {error}") from None
    part = score.find("part")
    if part is None:
        raise LeadSheetError(f"{Path(path).name} has no part; only partwise scores are read.")
    return _Reader().read(part)


class _Reader:
    """Walks through the bars of a part; positions are in quarters."""

    def __init__(self) -> None:
        self.divisions, self.beats_per_bar, self.beat_quarters = 1.0, 4, 1.0
        self.position = 0.0
        self.sheet = LeadSheet([], [], [], DEFAULT_QUARTERS_PER_MINUTE)

    def read(self, part: ElementTree.Element) -> LeadSheet:
        tempo = next((float(sound.get("tempo")) for sound in part.iter("sound") if sound.get("tempo")), 0.0)
        for bar in part.findall("measure"):
            start = furthest = self.position
            for element in bar:
                self._take(element)
                furthest = max(furthest, self.position)
            self.position = furthest
            count = max(1, round((furthest - start) / self.beat_quarters))
            first = max(0, self.beats_per_bar - count) if not self.sheet.beats else 0  # an upbeat ends its bar
            for number in range(count):
                self.sheet.beats.append(
                    SheetBeat(start + number * self.beat_quarters, (first + number) % self.beats_per_bar)
                )
        return self.sheet._replace(quarters_per_minute=tempo) if 30 <= tempo <= 300 else self.sheet

    def _take(self, element: ElementTree.Element) -> None:
        if element.tag == "attributes":
            self.divisions = float(element.findtext("divisions") or self.divisions)
            if element.find("time/beats") is not None:
                self.beats_per_bar = int(element.findtext("time/beats", "4"))
                self.beat_quarters = 4 / int(element.findtext("time/beat-type", "4"))
        elif element.tag == "harmony" and element.findtext("root/root-step"):
            root = (STEPS[element.findtext("root/root-step")] + int(element.findtext("root/root-alter") or 0)) % 12
            third, fifth = TRIADS.get((element.findtext("kind") or "").strip(), (4, 7))
            self.sheet.chords.append(SheetChord((root, (root + third) % 12, (root + fifth) % 12), self.position))
        elif element.tag in ("forward", "backup"):
            length = float(element.findtext("duration") or 0) / self.divisions
            self.position += length if element.tag == "forward" else -length
        elif element.tag == "note" and element.find("grace") is None and element.find("chord") is None:
            self._take_note(element)

    def _take_note(self, element: ElementTree.Element) -> None:
        end = self.position + float(element.findtext("duration") or 0) / self.divisions
        pitch = element.find("pitch")
        if pitch is not None and (element.findtext("voice") or "1") == "1":
            semitones = STEPS[pitch.findtext("step", "C")] + round(float(pitch.findtext("alter") or 0))
            number = 12 * (int(pitch.findtext("octave", "4")) + 1) + semitones
            continues = any(tie.get("type") == "stop" for tie in element.findall("tie"))
            if continues and self.sheet.notes and self.sheet.notes[-1].pitch == number:
                self.sheet.notes[-1] = self.sheet.notes[-1]._replace(end=end)
            elif 0 <= number <= 127:
                self.sheet.notes.append(SheetNote(number, self.position, end))
        self.position = end
