"""What `save_results` of Jukebox's methods writes: audio, codes and alignments of a level, in a folder of its own."""

import json
from pathlib import Path
from typing import Any

import soundfile
from safetensors.torch import save_file
from torch import Tensor


def save_level(
    folder: Path,
    level: int,
    codes: Tensor,
    audio: Tensor,
    sampling_rate: int,
    alignments: list[Tensor] | None = None,
    metas: Any = None,
):
    """Writes `level_<level>/sample_<number>.wav`, `codes.safetensors` and, if given, `alignments.safetensors` and
    `metas.json`.

    Args:
        folder: made where it is missing.
        level: from the top.
        codes (`Tensor` of shape (N, length)).
        audio (`Tensor` of shape (N, T, C)): clipped to -1..1, as in the original.
        sampling_rate: in Hz.
        alignments: for each sample (length, lyric tokens).
        metas: anything that JSON can hold.
    """
    folder = folder / f"level_{level}"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"codes": codes.cpu().contiguous()}, folder / "codes.safetensors")
    for number, sound in enumerate(audio.float().clamp(-1.0, 1.0).cpu().numpy()):
        soundfile.write(folder / f"sample_{number}.wav", sound, sampling_rate, subtype="PCM_16")
    if alignments is not None:
        tensors = {f"sample_{number}": alignment.contiguous() for number, alignment in enumerate(alignments)}
        save_file(tensors, folder / "alignments.safetensors")
    if metas is not None:
        (folder / "metas.json").write_text(json.dumps(metas, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
