#!/usr/bin/env bash
# multitrack-music-vae-1bar-chords: measures of two to eight tracks over a chord.
#
#   runs/multitrack_music_vae_1bar_chords.sh DATA OUTPUT
#
# DATA holds the folders pop909, multitrack_free and multitrack_web (see hub_models/hub/data_sources.yaml for their origins; the
# licence of the last is unclear), each with a splits.csv of the columns file and split. SPLITS=DIR names another place for the
# splits. OUTPUT is for checkpoints; started again, the script goes on where it was stopped.
#
# The published checkpoint was trained on one CPU core, which is why it is small and short. On a GPU, take the preset's
# sizes, --batch-size 256, and ten times the steps.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${1:?usage: $0 DATA OUTPUT} OUTPUT=${2:?usage: $0 DATA OUTPUT} SPLITS=${SPLITS:-$1}
NAME=multitrack-music-vae-1bar-chords
SETS=(pop909 multitrack_free multitrack_web)
DATA_OPTIONS=(--data "${SETS[@]/#/$DATA/}" --splits)
for set in "${SETS[@]}"; do DATA_OPTIONS+=("$SPLITS/$set/splits.csv"); done

LOOP=(--deduplicate --max-windows-per-file 60 --batch-size 32 --max-validation-examples 256 --minimum-learning-rate 1e-4)

accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/1" \
    --preset hier-multiperf_vel_1bar_med_chords --max-steps "${STEPS_1:-3737}" --warmup-steps 100 --learning-rate 1.5e-3 \
    --decay-rate 0.9997 --ema-decay 0.998 --evaluate-every 1000 --save-every 500 \
    --override 'encoder_hidden_sizes=[256]' 'conductor_hidden_sizes=[256]' 'decoder_hidden_sizes=[320,320]' latent_size=256 \
    free_bits=96 max_beta=0.2 beta_rate=0.9995
# With 96 free bits a style says little of its instruments; so it goes on with 192.
accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/2" \
    --init-from "$OUTPUT/1" --max-steps "${STEPS_2:-2900}" --warmup-steps 50 --learning-rate 1.2e-3 --decay-rate 0.9994 \
    --ema-decay 0.998 --evaluate-every 1000 --save-every 300 --override free_bits=192 max_beta=0.1

python -m hub_models.music_vae.bundle --model "$OUTPUT/2" --half --output "hub_models/bundled/$NAME" \
    --attributes "${DATA_OPTIONS[@]}" --max-examples 20000
python -m hub_models.music_vae.evaluate --model "hub_models/bundled/$NAME" "${DATA_OPTIONS[@]}" --split validation \
    --max-examples 2000 --output "hub_models/bundled/$NAME/metrics.json"
python -m hub_models.hub card "$NAME" --output "model_cards/$NAME.md"
