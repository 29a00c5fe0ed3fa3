#!/usr/bin/env bash
# music-vae-trio-16bar: sixteen bars of melody, bass and drums together.
#
#   runs/music_vae_trio_16bar.sh DATA OUTPUT
#
# DATA holds the folders multitrack_free and multitrack_web (see hub_models/hub/data_sources.yaml for their origins; the free
# files hold few trios, and the licence of the others is unclear), each with a splits.csv of the columns file and split.
# SPLITS=DIR names another place for the splits. OUTPUT is for checkpoints; started again, the script goes on where it was
# stopped.
#
# As for sixteen-bar melodies, training starts with two bars and goes on to eight and sixteen. The published checkpoint was
# trained on one CPU core shared with other work, which is why it is small and short. On a GPU, take the preset's sizes,
# --batch-size 256, and ten times the steps.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${1:?usage: $0 DATA OUTPUT} OUTPUT=${2:?usage: $0 DATA OUTPUT} SPLITS=${SPLITS:-$1}
NAME=music-vae-trio-16bar
SETS=(multitrack_free multitrack_web)
DATA_OPTIONS=(--data "${SETS[@]/#/$DATA/}" --splits)
for set in "${SETS[@]}"; do DATA_OPTIONS+=("$SPLITS/$set/splits.csv"); done
LOOP=(--deduplicate --max-windows-per-file 60 --batch-size 32 --max-validation-examples 128)
SIZES=('encoder_hidden_sizes=[192]' 'conductor_hidden_sizes=[192]' 'decoder_hidden_sizes=[160,160]' latent_size=512 max_beta=0.05)

accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/2" \
    --preset hier-trio_16bar --max-steps "${STEPS_2:-2200}" --warmup-steps 100 --learning-rate 1.5e-3 \
    --minimum-learning-rate 1e-4 --decay-rate 0.9998 --evaluate-every 1000 --save-every 500 \
    --override "${SIZES[@]}" max_sequence_length=32 free_bits=64 'encoder_level_lengths=[16,2]' 'decoder_level_lengths=[2,16]'
accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/8" \
    --init-from "$OUTPUT/2" --max-steps "${STEPS_8:-500}" --warmup-steps 50 --learning-rate 1e-3 \
    --minimum-learning-rate 1e-4 --decay-rate 0.9998 --evaluate-every 300 --save-every 300 \
    --override max_sequence_length=128 free_bits=192 'encoder_level_lengths=[16,8]' 'decoder_level_lengths=[8,16]'
accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/16" \
    --init-from "$OUTPUT/8" --max-steps "${STEPS_16:-575}" --warmup-steps 50 --learning-rate 1e-3 \
    --minimum-learning-rate 5e-5 --decay-rate 0.9975 --ema-decay 0.99 --evaluate-every 550 --save-every 100 \
    --override max_sequence_length=256 free_bits=256 'encoder_level_lengths=[16,16]' 'decoder_level_lengths=[16,16]'

python -m hub_models.music_vae.bundle --model "$OUTPUT/16" --half --output "hub_models/bundled/$NAME"
python -m hub_models.music_vae.evaluate --model "hub_models/bundled/$NAME" "${DATA_OPTIONS[@]}" --split validation \
    --max-examples 1000 --output "hub_models/bundled/$NAME/metrics.json"
python -m hub_models.hub card "$NAME" --output "model_cards/$NAME.md"
