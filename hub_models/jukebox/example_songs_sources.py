"""Where the music of the example songs comes from, under which licences, and which pieces are taken."""

from dataclasses import dataclass
from pathlib import Path

from hub_models.training import DataFile, NoTrainingDataError, find_data_files

# OpenEWLD says of all its songs that they are in the public domain; of many that is not so (it holds one of 1976). So only
# what is traditional is taken, and songs whose authors, named as their folders are, died before 1936.
FOLK_AUTHORS = frozenset({
    "[Traditional]", "[Traditional]-[Unknown]", "Alicia_Scott", "Annie_MacLeod-Sir_Harold_Boulton", "Antoine_Renard",
    "Arthur_Sullivan-Sabine_Baring-Gould", "Augustus_Toplady-Thomas_Hastings", "Benjamin_Russell_Hanby",
    "Charles_C._Converse-Joseph_M._Scriven", "Christina_Rossetti", "Claude_Joseph_Rouget_de_Lisle", "Dan_Emmett",
    "Eben_E._Rexford-H.P._Danks", "Edmund_Sears", "Edward_Cuthbert_Nunn", "Eliza_Flower-Sarah_Flower_Adams",
    "Frederick_Oakeley", "Gaston_Lyle-George_Leybourne", "George_Washington_Johnson_[1]-James_Austin_Butterfield",
    "Henry_Rowley_Bishop-John_Howard_Payne_[1]", "Isaac_Watts-Lowell_Mason", "James_A._Bland", "James_Chadwick",
    "James_Montgomery_[1]", "James_Pierpont", "James_Waddel_Alexander", "John_Baptiste_Calkin", "John_Hughes_[1]",
    "John_Mason_Neale", "John_Mason_Neale-Thomas_Helmore", "Joseph_Brackett,_Jr.", "Joseph_Eastburn_Winner",
    "Julia_Ward_Howe", "Katharine_Lee_Bates", "Liliuokalani", "Luigi_Denza-Peppino_Turco", "Narciso_Serradell_Sevilla",
    "Robert_Burns-[Traditional]", "Robert_Lowry", "Sebastián_Yradier", "Septimus_Winner", "Stephen_Foster",
    "Thomas_Oliphant", "Thomas_P._Westendorf", "William_Chatterton_Dix", "William_W._Walford",
})  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A collection of music: where its files are below --data, what they are called, and what their use asks for."""

    folder: str
    beginning: str
    licence: str
    citation: str


LIEDER = Source(
    "multitrack_free",
    "lieder/",
    "CC0-1.0",
    'M. Gotham, P. Jonas, "The OpenScore Lieder Corpus", MEC 2021',
)
QUARTETS = Source(
    "multitrack_free",
    "quartets/",
    "CC0-1.0",
    'M. Gotham, M. Redbond, B. Bower, P. Jonas, "The OpenScore String Quartet Corpus", DLfM 2023',
)
POP = Source(
    "pop909",
    "POP909/",
    "MIT",
    'Z. Wang et al., "POP909: A Pop-song Dataset for Music Arrangement Generation", ISMIR 2020',
)
FOLK = Source(
    "folk",
    "openewld/",
    "public domain (files: MIT)",
    'F. Simonetta et al., "Symbolic Music Similarity through a Graph-Based Representation", Audio Mostly 2018',
)
GROOVE = Source(
    "groove",
    "groove/",
    "CC-BY-4.0",
    'J. Gillick et al., "Learning to Groove with Inverse Sequence Transformations", ICML 2019',
)
SPOKEN = Source("", "", "CC0-1.0", "words of our own, said by espeak-ng, whose output is free")
RHYMES = Source("", "", "public domain", "traditional, said by espeak-ng, whose output is free")
GENRES = {"classical": (LIEDER, QUARTETS), "pop": (POP,), "folk": (FOLK,), "groove": (GROOVE,)}


def is_folk(name: str) -> bool:
    """Whether a file of OpenEWLD, author/title/title.mxl below its folder, is by one of `FOLK_AUTHORS`."""
    return Path(name).parent.parent.name in FOLK_AUTHORS


def find_pieces(data: Path, splits: Path) -> dict[tuple[str, str], list[DataFile]]:
    """The pieces of each genre and split.

    Raises:
        NoTrainingDataError: a folder is missing or holds none of the pieces.
    """
    pieces: dict[tuple[str, str], list[DataFile]] = {}
    for genre, sources in GENRES.items():
        for source in sources:
            files = find_data_files(
                [data / source.folder], "music", (".mid", ".mxl"), [splits / source.folder / "splits.csv"]
            )
            files = [file for file in files if file.name.startswith(source.beginning)]
            files = [file for file in files if source is not FOLK or is_folk(file.name)]
            for split in ("train", "validation"):
                found = [file for file in files if file.split == split]
                if not found:
                    raise NoTrainingDataError(f"{data / source.folder}: no {split} pieces below {source.beginning}.")
                pieces.setdefault((genre, split), []).extend(found)
    return pieces
