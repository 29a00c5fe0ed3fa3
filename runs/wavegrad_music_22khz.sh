#!/usr/bin/env bash
# wavegrad-music-22khz: a vocoder for music, speech and loops at 22.05 kHz, with a searched schedule of 6 steps.
#
#   runs/wavegrad_music_22khz.sh DATA OUTPUT
#
# DATA holds the folder audio (recordings, with splits.csv) and the MIDI folders pop909, multitrack_free and groove, of which
# about three hours are rendered with the SoundFont of pretty_midi (see hub_models/hub/data_sources.yaml for their origins and
# licences), each with a splits.csv of the columns file and split. SPLITS=DIR names another place for the splits. OUTPUT is for
# the rendered sound and for checkpoints; started again, the script goes on where it was stopped.
#
# The published checkpoint was trained for 28 minutes on one CPU core, so the network has an eighth of lmnt-com/wavegrad's widths
# (0.28 million parameters). On a GPU drop --override, take --batch-size 32 --learning-rate 2e-4 as lmnt-com/wavegrad does, and a
# hundred times the steps. What was learned on the way to this recipe, an hour of training on the same core:
# - The noise levels decide. With the paper's (1 to 0.08) four fifths of the batches are so noisy that "all of it is noise" is
#   the best answer, and after 3,700 steps the network still said so. --beta-end 6.5e-4 spreads the noise evenly from none to
#   0.53 in amplitude, where recordings can be told from it.
# - A quarter of the widths and an eighth both learned to remove noise almost without looking at the spectrogram: taking it away
#   raised the error by 3 to 16 % (a quarter, after an hour) and by 2 to 10 % (an eighth, after 2,300 steps). The eighth got to
#   the same error five times as fast.
# - Batches of 4 to 8 at 2e-3 to 3e-3 went down faster than larger ones at 1e-3. A second Adam moment of 0.999 diverged once.
# The sound rendered for the published checkpoint was out of tune (before SoundFonts were rewritten, hub_models/soundfont.py).
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${1:?usage: $0 DATA OUTPUT} OUTPUT=${2:?usage: $0 DATA OUTPUT} SPLITS=${SPLITS:-$1}
NAME=wavegrad-music-22khz
RECORDED=(--data "$DATA/audio" --splits "$SPLITS/audio/splits.csv")
ALL=(--data "$DATA/audio" "$OUTPUT/rendered" --splits "$SPLITS/audio/splits.csv" "$OUTPUT/rendered/splits.csv")

python -m hub_models.wavegrad.render_midi --midi "$DATA/multitrack_free" "$DATA/pop909" "$DATA/groove" --splits \
    "$SPLITS/multitrack_free/splits.csv" "$SPLITS/pop909/splits.csv" "$SPLITS/groove/splits.csv" --shares 0.4 0.4 0.2 \
    --hours 3 --output "$OUTPUT/rendered"

accelerate launch -m hub_models.wavegrad.train "${ALL[@]}" --output "$OUTPUT/1" --max-steps "${STEPS:-8000}" \
    --preset wavegrad-lmnt --override mel_channels=96 'down_channels=[8,16,16,32,64]' 'up_channels=[64,64,32,16,16]' \
    --beta-end 6.5e-4 --normalize --gain-db 3 --batch-size 6 --learning-rate 3e-3 --minimum-learning-rate 3e-5 \
    --schedule cosine --warmup-steps 100 --ema-decay 0.998 --adam-beta2 0.99 --max-gradient-norm 0.5 \
    --evaluate-every 4000 --max-validation-clips 12 --validation-frames 48 --validation-steps 6 --save-every 250

python -m hub_models.wavegrad.bundle --model "$OUTPUT/1" --half --output "hub_models/bundled/$NAME"
python -m hub_models.wavegrad.search_schedule --model "hub_models/bundled/$NAME" "${RECORDED[@]}" --split train \
    --held-out-split validation --steps 6 --clips 8 --held-out-clips 12 --seconds 1 --refine --cache "$OUTPUT/search.jsonl"
python -m hub_models.wavegrad.evaluate --model "hub_models/bundled/$NAME" "${RECORDED[@]}" --split validation \
    --max-clips 21 --max-seconds 2 --steps 6 25 50 --griffin-lim 32 64 --output "hub_models/bundled/$NAME/metrics.json"
python -m hub_models.wavegrad.evaluate --model "hub_models/bundled/$NAME" "${RECORDED[@]}" --split validation \
    --max-clips 4 --max-seconds 1 --steps 6 25 50 1000 --griffin-lim 32 64 \
    --output "hub_models/bundled/$NAME/metrics_1000.json"
python -m hub_models.hub card "$NAME" --output "model_cards/$NAME.md"
