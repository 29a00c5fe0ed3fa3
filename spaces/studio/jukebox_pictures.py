"""Codes as pictures, small enough for a page, and words with the lines that they stand in."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hub_models.jukebox.lyrics import Lyrics, TimedWord

# Columns of a picture; ranks of colours, of which the last means that there is no code yet.
COLUMNS, MAX_ROWS = 1000, 16
OPEN = 255


def code_ranks(codebook: np.ndarray) -> np.ndarray:
    """(bins,) uint8, 0 to 254: a place on the scale of colours for each code of a codebook (bins, dim).

    Codes are in the order of their first principal component, so that those which lie near one another look alike.
    """
    centred = codebook.astype(np.float64) - codebook.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    axis = directions[:, -1]
    axis = axis * (np.sign(axis[np.abs(axis).argmax()]) or 1.0)
    ranks = np.empty(len(codebook), np.int64)
    ranks[np.argsort(centred @ axis, kind="stable")] = np.arange(len(codebook))
    return (ranks * (OPEN - 1) // max(1, len(codebook) - 1)).astype(np.uint8)


def code_picture(codes: np.ndarray, total: int, per_column: int, ranks: np.ndarray) -> dict[str, Any]:
    """The codes of a level, a column for each code of the top level.

    Args:
        codes: (T,) those that there are, from the beginning on.
        total: how many there are to be.
        per_column: codes of this level for one of the top level.
        ranks: from `code_ranks`.

    Returns:
        `columns`, `rows`, and `data`: base64 of uint8, row by row. Of many columns, or rows, evenly spaced ones.
    """
    moments = max(1, -(-total // per_column))
    laid = np.full(moments * per_column, OPEN, np.uint8)
    laid[: len(codes)] = ranks[codes]
    laid = laid.reshape(moments, per_column)
    columns, rows = min(COLUMNS, moments), min(MAX_ROWS, per_column)
    kept = laid[np.arange(columns) * moments // columns][:, np.arange(rows) * per_column // rows]
    data = np.ascontiguousarray(kept.T).tobytes()
    return {"columns": columns, "rows": rows, "data": base64.b64encode(data).decode()}


def words_in_lines(lyrics: Lyrics, timed: Sequence[TimedWord]) -> list[list[Any]]:
    """Words as the view shows them: [text, start, end, confidence, number of its line]; `timed` are those of `lyrics`."""
    return [
        [
            word.word,
            round(word.start_seconds, 3),
            round(word.end_seconds, 3),
            round(word.confidence, 3),
            lyrics.text.count("\n", 0, place.text_start),
        ]
        for place, word in zip(lyrics.words, timed, strict=True)
    ]
