"""Maps from General MIDI percussion to drum classes: data of the original releases, by name.

The first pitch of a class is the one that is written; pitches of no class are left out.
"""

_NINE = {
    "kick": (36, 35),
    "snare": (38, 27, 28, 31, 32, 33, 34, 37, 39, 40, 56, 65, 66, 75, 85),
    "closed hi-hat": (42, 44, 54, 68, 69, 70, 71, 73, 78, 80, 22),
    "open hi-hat": (46, 67, 72, 74, 79, 81, 26),
    "low tom": (45, 29, 41, 43, 61, 64, 84),
    "mid tom": (48, 47, 60, 63, 77, 86, 87),
    "high tom": (50, 30, 62, 76, 83),
    "crash": (49, 52, 55, 57, 58),
    "ride": (51, 53, 59, 82),
}

# The pads of a Roland TD-11, as in the Groove MIDI Dataset.
_ROLAND = {
    "kick": (36,),
    "snare": (38, 37, 40),
    "closed hi-hat": (42, 22, 44),
    "open hi-hat": (46, 26),
    "low tom": (43, 58),
    "mid tom": (47, 45),
    "high tom": (50, 48),
    "crash": (49, 52, 55, 57),
    "ride": (51, 53, 59),
}

# One class for each pitch: those of magenta.js below, one after the other.
_FULL = {
    "bass drum 1": (36,),
    "acoustic bass drum": (35,),
    "acoustic snare": (38,),
    "high Q": (27,),
    "slap": (28,),
    "sticks": (31,),
    "square click": (32,),
    "metronome click": (33,),
    "metronome bell": (34,),
    "side stick": (37,),
    "hand clap": (39,),
    "electric snare": (40,),
    "cowbell": (56,),
    "high timbale": (65,),
    "low timbale": (66,),
    "claves": (75,),
    "castanets": (85,),
    "closed hi-hat": (42,),
    "pedal hi-hat": (44,),
    "tambourine": (54,),
    "low agogo": (68,),
    "cabasa": (69,),
    "maracas": (70,),
    "short whistle": (71,),
    "short guiro": (73,),
    "mute cuica": (78,),
    "mute triangle": (80,),
    "open hi-hat": (46,),
    "high agogo": (67,),
    "long whistle": (72,),
    "long guiro": (74,),
    "open cuica": (79,),
    "open triangle": (81,),
    "low tom": (45,),
    "scratch push": (29,),
    "low floor tom": (41,),
    "low bongo": (61,),
    "low conga": (64,),
    "bell tree": (84,),
    "high mid tom": (48,),
    "low mid tom": (47,),
    "high bongo": (60,),
    "open high conga": (63,),
    "low wood block": (77,),
    "mute surdo": (86,),
    "open surdo": (87,),
    "high tom": (50,),
    "scratch pull": (30,),
    "high floor tom": (43,),
    "mute high conga": (62,),
    "high wood block": (76,),
    "jingle bell": (83,),
    "crash cymbal 1": (49,),
    "splash cymbal": (55,),
    "crash cymbal 2": (57,),
    "vibraslap": (58,),
    "ride cymbal 1": (51,),
    "chinese cymbal": (52,),
    "ride bell": (53,),
    "ride cymbal 2": (59,),
    "shaker": (82,),
}

# What magenta.js uses where a checkpoint names no map of its own.
_MAGENTA_JS = {
    **_NINE,
    "closed hi-hat": (42, 44, 54, 68, 69, 70, 71, 73, 78, 80),
    "open hi-hat": (46, 67, 72, 74, 79, 81),
    "low tom": (45, 29, 41, 61, 64, 84),
    "high tom": (50, 30, 43, 62, 76, 83),
    "crash": (49, 55, 57, 58),
    "ride": (51, 52, 53, 59, 82),
}

DRUM_MAPS: dict[str, dict[str, tuple[int, ...]]] = {
    "nine": _NINE,
    "roland": _ROLAND,
    "full": _FULL,
    "magenta_js": _MAGENTA_JS,
}
