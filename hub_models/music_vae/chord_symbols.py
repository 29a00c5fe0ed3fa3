"""Chord symbols as triads: "F#m7b5" is the diminished triad on F#, number 43 of 49."""

import re

PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MAJOR, MINOR, AUGMENTED, DIMINISHED = QUALITIES = ("", "m", "aug", "dim")
NO_CHORD_SYMBOL = "N.C."
NO_CHORD = 0
NUM_CHORDS = 1 + 12 * len(QUALITIES)
MAX_SYMBOL_LENGTH = 64


class ChordSymbolError(ValueError):
    """A chord symbol that cannot be read.

    Args:
        symbol (`str`): what was given.
        reason (`str`): what is wrong with it.
        bar (`int`, *optional*): its bar, counted from 1, where it stands in a piece of music.
    """

    def __init__(self, symbol: str, reason: str, bar: int | None = None):
        self.symbol, self.reason, self.bar = symbol, reason, bar
        shown = symbol if len(symbol) <= MAX_SYMBOL_LENGTH else symbol[:MAX_SYMBOL_LENGTH] + "..."
        super().__init__(f"Chord symbol {shown!r}{'' if bar is None else f' in bar {bar}'}: {reason}.")

    def in_bar(self, bar: int) -> "ChordSymbolError":
        """The same error, said of a bar."""
        return ChordSymbolError(self.symbol, self.reason, bar)


def chord_index(symbol: str, mode: str = "musical") -> int:
    """The number of a chord symbol's triad.

    0 is no chord; then come the major triads on C, C#, ... B (1-12), the minor (13-24), the augmented (25-36) and the
    diminished ones (37-48). Sevenths, higher tensions and the bass after a slash do not count.

    Args:
        symbol (`str`): in mode "musical" in any of the common spellings, such as "CMaj7", "C△", "Cmi7(b5)", "C-7b5", "Cø",
            "C7sus4", "C6/9", and "C:min7/b3" as data sets write it. A chord that is none of the four triads becomes the
            nearest: its third decides, and where it has none (sus and power chords) it counts as major; so "Csus4", "C5"
            and "C7b5" are C major. In mode "original" only what the original reads, and only the four triads.
        mode (`str`, defaults to `"musical"`): "musical" or "original".

    Raises:
        ChordSymbolError: for what is no chord symbol; in mode "original" also for what is none of the four triads.
    """
    if len(symbol) > MAX_SYMBOL_LENGTH:
        raise ChordSymbolError(symbol, f"it is longer than {MAX_SYMBOL_LENGTH} characters")
    return _read_original(symbol) if mode == "original" else _read(symbol)


def chord_symbol(index: int) -> str:
    """The symbol of a triad 0..48: "N.C."; "C", "C#", ... "B"; "Cm", ...; "Caug", ...; "Cdim", ...

    Raises:
        ValueError: for another number.
    """
    if index not in range(NUM_CHORDS):
        raise ValueError(f"A chord is a number 0..{NUM_CHORDS - 1}, got {index!r}.")
    quality, root = divmod(int(index) - 1, 12)
    return NO_CHORD_SYMBOL if index == NO_CHORD else PITCH_CLASSES[root] + QUALITIES[quality]


def plain_symbol(symbol: str) -> str:
    """A symbol that [`chord_index`] reads in ASCII, for MIDI files: "B♭△7" becomes "Bbmaj7", "C°" becomes "Cdim"."""
    return "".join(character if character.isascii() else character.translate(_UNICODE) for character in symbol)


def _number(root: str, quality: str) -> int:
    semitones = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[root[0]]
    return 1 + 12 * QUALITIES.index(quality) + (semitones + root.count("#") - root.count("b")) % 12


_NO_CHORD_SPELLINGS = ("n.c.", "n.c", "nc", "n", "nochord", "none")
_UNICODE = str.maketrans(
    {"♯": "#", "♭": "b", "𝄪": "##", "𝄫": "bb", "♮": "", "△": "maj", "Δ": "maj", "∆": "maj", "°": "dim", "º": "dim"}
    | {"ø": "hdim", "Ø": "hdim", "\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", " ": "", ":": ""}
)
_ROOT = re.compile("[A-G](?:#+|b+)?")
# "C-5" is a lowered fifth, "Comit3" no diminished chord and "Cmadd9" a minor one.
_QUALITY = re.compile(
    r"""(?P<half_diminished>(?i:half-?dim|hdim)|/o)
    | (?P<diminished>(?i:dim(?:inished)?)|o(?!mit))
    | (?P<augmented>(?i:aug(?:mented)?)|\+)
    | (?P<minor>(?i:min(?:or)?|mi)|m(?!aj|a\d|a$)|-(?!5))
    | (?P<major>(?i:maj(?:or)?|ma(?!dd)|dom)|M)""",
    re.VERBOSE,
)
_TAIL = re.compile(
    r"""6/9
    | /(?:[A-G](?:\#+|b+)?|[b\#]*(?:1[0-3]|[1-9]))$  # the bass: a note, or a degree of the chord
    | (?P<change>\#|b|\+|-)(?P<degree>1[0-3]|[1-9])
    | (?:(?i:add|omit|no)|\*)?[\#b]?(?:69|1[0-3]|[1-9])
    | (?i:sus)(?:2/?4|4/?2|[24])?
    | (?P<augmented>(?i:aug)|\+)
    | /?(?:(?i:maj?)|M) | (?i:alt) | [(),]""",
    re.VERBOSE,
)


def _read(symbol: str) -> int:
    """The triad of a symbol in any of the common spellings."""
    text = symbol.translate(_UNICODE).strip()
    if text.lower() in _NO_CHORD_SPELLINGS:
        return NO_CHORD
    root = _ROOT.match(text)
    if root is None:
        raise ChordSymbolError(symbol, "a chord starts with its root, a capital letter A to G, as in 'C', 'F#m7' or 'Bb/D'")
    quality = _QUALITY.match(text, root.end())
    kind = quality.lastgroup if quality else "major"
    minor = kind in ("minor", "diminished", "half_diminished")
    fifth = {"augmented": 1, "diminished": -1, "half_diminished": -1}.get(kind, 0)
    where = quality.end() if quality else root.end()
    while where < len(text):
        token = _TAIL.match(text, where)
        if token is None:
            raise ChordSymbolError(symbol, f"{text[where:]!r} after {text[:where]!r} is not known")
        change = {"#": 1, "+": 1, "b": -1, "-": -1}.get(token["change"], 0)
        if token["degree"] == "5":
            fifth = change
        elif token["degree"] == "3" and change < 0:
            minor = True
        elif token["augmented"]:
            fifth = 1
        where = token.end()
    if minor:
        return _number(root[0], DIMINISHED if fifth < 0 else MINOR)
    return _number(root[0], AUGMENTED if fifth > 0 else MAJOR)


# What the original reads: root, kind, any changes of degrees (in brackets or not, even half of them), bass.
_ORIGINAL = re.compile(
    r"""(?P<root>[A-G](?:\#*|b*)(?![\#b]))
    (?P<kind>(?:maj|M|m|min|-)?(?:7|9|11|13)? | (?:m|min|-)?6 | 6/9 | (?:m|min|-)(?:maj7|M7|\(maj7\)|\(M7\))
        | (?:\+|aug)[79]? | (?:o|dim)7? | /o7? | sus[247]? | 7sus | 5 | ped)
    (?P<changes>(?:\(?(?:add[\#b]?|no|[\#b])[0-9]+\)?)*)
    (?:/[A-G](?:\#*|b*)(?![\#b]))?""",
    re.VERBOSE,
)
_WITHOUT_THIRD = {"sus": (1, 4, 5), "sus4": (1, 4, 5), "sus2": (1, 2, 5), "sus7": (1, 4, 5, 7), "7sus": (1, 4, 5, 7)}
_WITHOUT_THIRD |= {"5": (1, 5), "ped": (1,)}
_TENSIONS = {"6/9": (6, 9), "6": (6,), "7": (7,), "9": (7, 9), "11": (7, 9, 11), "13": (7, 9, 11, 13)}
_TRIADS = {(0, 0): MAJOR, (-1, 0): MINOR, (0, 1): AUGMENTED, (-1, -1): DIMINISHED}


def _read_original(symbol: str) -> int:
    """The triad of a symbol as the original reads it, with whatever makes it refuse one."""
    if symbol == NO_CHORD_SYMBOL:
        return NO_CHORD
    parts = _ORIGINAL.fullmatch(symbol)
    if parts is None:
        raise ChordSymbolError(symbol, "mode 'original' does not read it")
    kind = parts["kind"]
    alterations = dict.fromkeys(_WITHOUT_THIRD.get(kind, (1, 3, 5)), 0)  # of the degrees in the chord, in semitones
    if kind not in _WITHOUT_THIRD:
        if kind.startswith(("-", "m", "o", "dim", "/o")) and not kind.startswith("maj"):
            alterations[3] = -1
        if kind.startswith(("+", "aug", "o", "dim", "/o")):
            alterations[5] = 1 if kind.startswith(("+", "aug")) else -1
        tension = "7" if kind == "/o" else re.search(r"6/9|\d*(?=\)?$)", kind)[0]
        alterations |= dict.fromkeys(_TENSIONS.get(tension, ()), 0)
    for change, digits in re.findall(r"(add[#b]?|no|[#b])([0-9]+)", parts["changes"]):
        degree = int(digits)
        if degree in alterations if change.startswith("add") else degree not in alterations and change == "no":
            raise ChordSymbolError(symbol, f"mode 'original' finds nothing that '{change}{digits}' could change")
        if change == "no":
            del alterations[degree]
        else:
            alterations[degree] = alterations.get(degree, 0) + {"#": 1, "b": -1}.get(change[-1], 0)
    triad = (alterations.get(3), alterations.get(5))
    if alterations.get(1) != 0 or triad not in _TRIADS:
        raise ChordSymbolError(symbol, "mode 'original' reads only major, minor, augmented and diminished chords")
    return _number(parts["root"], _TRIADS[triad])
