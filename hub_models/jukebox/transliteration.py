"""Text in plain Latin letters, as Unidecode 1.1.1 writes it: what the original of Jukebox reads lyrics with.

Latin letters, digits, punctuation and emoji need no other package; letters of other scripts need Unidecode. It is under the
GPL and therefore not required by this project, only used where it is installed. Later versions than 1.1.1 differ in rare
signs only: the rest of where they differ is settled here.
"""

# ruff: noqa: RUF001
# Characters that look like others are what this file is about.

import unicodedata


class TransliterationError(ValueError):
    """Text in a script that needs a package which is not installed; the message names both."""


def transliterations(characters: set[str]) -> dict[str, str]:
    """Each of some characters in ASCII. (Unidecode works character by character.)

    Raises:
        TransliterationError: for scripts other than Latin where Unidecode is not installed.
    """
    table = {character: as_latin(character) for character in characters}
    foreign = sorted(character for character, plain in table.items() if plain is None)
    if foreign:
        try:
            from unidecode import unidecode
        except ImportError:
            shown = " ".join(foreign[:8]) + (" ..." if len(foreign) > 8 else "")
            raise TransliterationError(
                f"These characters are not Latin: {shown}. To write them in Latin letters, as the original does, install "
                'the package Unidecode: pip install "Unidecode==1.1.1"'
            ) from None
        table |= {character: unidecode(character) for character in foreign}
    return table


def as_latin(character: str) -> str | None:
    """ASCII for Latin letters, digits, punctuation and what is not written at all; `None` for anything else."""
    if character.isascii():
        return character
    if character in _WRITTEN:
        return _WRITTEN[character]
    code = ord(character)
    if any(code in block for block in _DROPPED):
        return ""
    if any(code in block for block in _DECOMPOSED):
        parts = unicodedata.normalize("NFKD", character)
        plain = "".join(part for part in parts if not unicodedata.combining(part))
        if plain.isascii():
            return plain
    return None


def _by_character(written: dict[str, str]) -> dict[str, str]:
    return {character: plain for plain, characters in written.items() for character in characters}


# Latin letters and punctuation that do not come apart into ASCII and accents, as Unidecode 1.1.1 writes them.
_WRITTEN = _by_character(
    {
        "'": "´‘’‛′",
        '"': "¨“”‟",
        "''": "″",
        ",": "¸‚",
        ",,": "„",
        "-": "¯‐‑‒–‾",
        "--": "—―",
        "!": "¡¬",
        "?": "¿",
        "!?": "‽",
        ".": "‧",
        "*": "·•※",
        "+": "†",
        "++": "‡",
        "+-": "±",
        "/": "÷⁄",
        "<": "‹",
        "<<": "«",
        ">": "›",
        ">>": "»",
        "_": "‗",
        "|": "¦",
        "#": "♯",
        " ": "\u200b",
        "\n": "\u2028",
        "\n\n": "\u2029",
        "(c)": "©",
        "(r)": "®",
        "(tm)": "™",
        "C/": "¢",
        "PS": "£",
        "$?": "¤",
        "Y=": "¥",
        "EUR": "€",
        "SS": "§",
        "P": "¶",
        "deg": "°",
        "No. ": "№",
        "x": "×",
        "u": "µ",
        "AE": "Æ",
        "ae": "æ",
        "OE": "Œ",
        "oe": "œ",
        "O": "Ø",
        "o": "ø",
        "D": "ÐĐ",
        "d": "ðđ",
        "Th": "Þ",
        "th": "þ",
        "Ss": "ẞ",
        "ss": "ß",
        "H": "Ħ",
        "h": "ħ",
        "i": "ı",
        "k": "ĸ",
        "L": "ĿŁ",
        "l": "ŀł",
        "T": "Ŧ",
        "t": "ŧ",
        "'n": "ŉ",
    }
)
# Where later versions of Unidecode write something else than 1.1.1, which the original uses, of what lyrics may have.
_WRITTEN |= _by_character(
    {
        " 1/2 ": "½",
        " 1/4 ": "¼",
        " 3/4 ": "¾",
        "ng": "Ŋ",
        "NG": "ŋ",
        "": "♠♡♢♣♤♥♦♧❜❝❞℃℉\u2126ー",  # U+2126 is the ohm
        "'": "\u05bc",  # from here on Hebrew
        "-": "\u05bf",
        ":": "\u05c3",
        "KH": "\u05d7",
        "t": "\u05d8",
        "k": "\u05da\u05db",
        "q": "\u05e7",
        "i": "\u05f2",
    }
)
_DROPPED = (
    range(0x00AD, 0x00AE),  # soft hyphen
    range(0x0300, 0x034F),  # accents that stand alone
    range(0x200C, 0x2010),  # joiners, directions
    range(0x202A, 0x202F),
    range(0x2669, 0x266F),  # notes
    range(0xD800, 0xE000),  # halves of characters
    range(0xFEFF, 0xFF00),  # byte order mark
    range(0x1F300, 0x1FB00),  # emoji
)
_DECOMPOSED = (
    range(0x00A0, 0x0180),
    range(0x01CD, 0x01DD),
    range(0x0218, 0x021C),
    range(0x1E00, 0x1E9A),
    range(0x1EA0, 0x1EFA),
    range(0x2000, 0x2030),
    range(0x2070, 0x2090),
    range(0x3000, 0x3001),
    range(0xFB00, 0xFB07),
    range(0xFF01, 0xFF5F),
)
