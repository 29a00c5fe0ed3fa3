"""Golden cases: what the original code computed. Collected from `ENCORE_GOLDEN`, whatever is there."""

import os
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(os.environ.get("ENCORE_GOLDEN", Path(__file__).parents[2] / ".." / "shared" / "golden")).resolve()


def golden_folders(*parts: str) -> list[Path]:
    """Folders with a case.json or meta.json directly below a folder of golden cases, sorted by name."""
    root = GOLDEN.joinpath(*parts)
    return sorted(path.parent for name in ("case.json", "meta.json") for path in root.glob(f"*/{name}"))


def parametrize_cases(argument: str, cases: list, ids: list[str]):
    """`pytest.mark.parametrize`, or one skipped test that says why there are no cases."""
    if cases:
        return pytest.mark.parametrize(argument, cases, ids=ids)
    reason = f"no golden cases in {GOLDEN}: set ENCORE_GOLDEN to a folder that has them"
    return pytest.mark.parametrize(argument, [pytest.param(None, marks=pytest.mark.skip(reason=reason))], ids=["none"])


def assert_same_notes(midi, expected: np.ndarray):
    """Rows of pitch, velocity, start, end, program, is_drum, instrument; order does not matter."""
    rows = [
        (note.pitch, note.velocity, note.start, note.end, instrument.program, float(instrument.is_drum))
        for instrument in midi.instruments
        for note in instrument.notes
    ]
    ours = np.array(sorted(rows)).reshape(-1, 6)
    theirs = np.array(sorted(map(tuple, expected[:, :6]))).reshape(-1, 6)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
