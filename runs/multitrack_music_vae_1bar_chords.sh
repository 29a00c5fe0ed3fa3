#!/usr/bin/env bash
# multitrack-music-vae-1bar-chords: measures of two to eight tracks over a chord.
#
#   runs/multitrack_music_vae_1bar_chords.sh DATA OUTPUT
#
# DATA holds the folders pop909, multitrack_free and multitrack_web (see hub_models/hub/data_sources.yaml for their origins; the
# licence of the last is unclear), each with a splits.csv of the columns file and split. SPLITS=DIR names another place for the
# splits. OUTPUT is for checkpoints; started again, the script goes on where it was stopped.
#
# The published checkpoint was trained for 6,671 steps on one CPU core, in the four stages below. The first two were a detour:
# free bits leave the latents where no prior sample falls, and styles with 192 of them said no more than with 96. Without free
# bits the KL divergence fell from 60 nats to 20 and the reconstruction got no worse; that is what the last two stages do. On a
# GPU, start with them: the preset's sizes, --batch-size 256, ten times the steps, free_bits=0 and max_beta=0.03.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${1:?usage: $0 DATA OUTPUT} OUTPUT=${2:?usage: $0 DATA OUTPUT} SPLITS=${SPLITS:-$1}
NAME=multitrack-music-vae-1bar-chords
SETS=(pop909 multitrack_free multitrack_web)
DATA_OPTIONS=(--data "${SETS[@]/#/$DATA/}" --splits)
for set in "${SETS[@]}"; do DATA_OPTIONS+=("$SPLITS/$set/splits.csv"); done

LOOP=(--deduplicate --max-windows-per-file 60 --batch-size 32 --max-validation-examples 256 --evaluate-every 1000)
LOOP+=(--save-every 300 --ema-decay 0.998 --minimum-learning-rate 1e-4)
SIZES=('encoder_hidden_sizes=[256]' 'conductor_hidden_sizes=[256]' 'decoder_hidden_sizes=[320,320]' latent_size=256)

stage() { # NAME STEPS LEARNING_RATE DECAY_RATE, and what is particular to it
    accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/$1" --max-steps "$2" \
        --learning-rate "$3" --decay-rate "$4" "${@:5}"
}
stage 1 "${STEPS_1:-3737}" 1.5e-3 0.9997 --warmup-steps 100 --preset hier-multiperf_vel_1bar_med_chords \
    --override "${SIZES[@]}" free_bits=96 max_beta=0.2 beta_rate=0.9995
stage 2 "${STEPS_2:-755}" 1.2e-3 0.9994 --warmup-steps 50 --init-from "$OUTPUT/1" --override free_bits=192 max_beta=0.1
stage 3 "${STEPS_3:-679}" 1.2e-3 0.9992 --warmup-steps 50 --init-from "$OUTPUT/2" \
    --override free_bits=0 max_beta=0.1 beta_rate=0
stage 4 "${STEPS_4:-1500}" 1e-3 0.9988 --warmup-steps 50 --init-from "$OUTPUT/3" --override max_beta=0.03

python -m hub_models.music_vae.bundle --model "$OUTPUT/4" --half --output "hub_models/bundled/$NAME" \
    --attributes "${DATA_OPTIONS[@]}" --max-examples 8000
python -m hub_models.music_vae.evaluate --model "hub_models/bundled/$NAME" "${DATA_OPTIONS[@]}" --split validation \
    --max-examples 1000 --output "hub_models/bundled/$NAME/metrics.json"
python -m hub_models.hub card "$NAME" --output "model_cards/$NAME.md"
