#!/usr/bin/env bash
# music-vae-drums-2bar: two-bar drum patterns from an electronic kit and game music.
#
#   runs/music_vae_drums_2bar.sh DATA OUTPUT
#
# DATA holds the folders groove and multitrack_free (see hub_models/hub/data_sources.yaml for their origins), each
# with a splits.csv of the columns file and split. SPLITS=DIR names another place for the splits. OUTPUT is for
# checkpoints; started again, the script goes on where it was stopped.
#
# The published checkpoint was trained on two CPU cores shared with other work, which is why it is small (256 units in the
# encoder instead of 512) and short: STAGE_1 to STAGE_3 are the steps that it got. On a GPU, take the preset as it is:
# drop the overrides, use --batch-size 512 and 100,000 steps. Scheduled sampling, the preset's own, was tried as a last
# stage of 650 steps and dropped: it lowered both accuracies and had no time to earn them back.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${1:?usage: $0 DATA OUTPUT} OUTPUT=${2:?usage: $0 DATA OUTPUT} SPLITS=${SPLITS:-$1}
STAGE_1=${STAGE_1:-4176} STAGE_2=${STAGE_2:-5813} STAGE_3=${STAGE_3:-1796}
NAME=music-vae-drums-2bar
SETS=(groove multitrack_free)
DATA_OPTIONS=(--data "${SETS[@]/#/$DATA/}" --splits)
for set in "${SETS[@]}"; do DATA_OPTIONS+=("$SPLITS/$set/splits.csv"); done
LOOP=(--batch-size 32 --deduplicate --evaluate-every 2000 --max-validation-examples 512 --save-every 1000)

# Stage 1: the KL cost grows slowly while the decoder learns to write patterns.
accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/stage-1" \
    --preset cat-drums_2bar_small --max-steps "$STAGE_1" --decay-rate 0.9998 \
    --override 'encoder_hidden_sizes=[256]' free_bits=48 max_beta=0.1 beta_rate=0.9997 sampling_schedule=none

# Stage 2: a lower KL cost and a fresh learning rate; the latent vector takes over.
accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/stage-2" \
    --init-from "$OUTPUT/stage-1" --max-steps "$STAGE_2" --learning-rate 1.5e-3 --decay-rate 0.9997 --warmup-steps 100 \
    --override free_bits=48 max_beta=0.05 beta_rate=0.0 sampling_schedule=none

# Stage 3: the learning rate falls, and the weights are averaged.
accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/stage-3" \
    --init-from "$OUTPUT/stage-2" --max-steps "$STAGE_3" --learning-rate 6e-4 --decay-rate 0.9988 --warmup-steps 50 \
    --ema-decay 0.99 --override free_bits=48 max_beta=0.05 beta_rate=0.0 sampling_schedule=none

python -m hub_models.music_vae.bundle --model "$OUTPUT/stage-3" --output "hub_models/bundled/$NAME" \
    "${DATA_OPTIONS[@]}"
python -m hub_models.music_vae.evaluate --model "hub_models/bundled/$NAME" "${DATA_OPTIONS[@]}" --split validation \
    --max-examples 5000 --output "hub_models/bundled/$NAME/metrics.json"
python -m hub_models.hub card "$NAME" --output "model_cards/$NAME.md"
