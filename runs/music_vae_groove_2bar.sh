#!/usr/bin/env bash
# music-vae-groove-2bar-{humanize,tap,add-closed-hh}: drums with feel (GrooVAE). One model, three things left out of what it
# reads: velocities and timing; all but the rhythm; the closed hi-hat.
#
#   runs/music_vae_groove_2bar.sh DATA OUTPUT
#
# DATA holds the folder groove (the Groove MIDI Dataset, see hub_models/hub/data_sources.yaml) with a splits.csv of the
# columns file and split. SPLITS=DIR names another place for the splits. OUTPUT is for checkpoints; started again, the
# script goes on where it was stopped.
#
# The drummers played a Roland kit, so training reads the files with its map; the models are shipped with the General MIDI
# map, for everybody's files. The published checkpoints were trained on one CPU core shared with other work, which is why
# they are small and short. On a GPU, take the presets as they are, with --batch-size 512 and 50,000 steps.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${1:?usage: $0 DATA OUTPUT} OUTPUT=${2:?usage: $0 DATA OUTPUT} SPLITS=${SPLITS:-$1}
DATA_OPTIONS=(--data "$DATA/groove" --splits "$SPLITS/groove/splits.csv")
LOOP=(--deduplicate --drum-map roland --batch-size 64 --warmup-steps 50 --minimum-learning-rate 1e-4
    --ema-decay 0.99 --evaluate-every 500 --max-validation-examples 512 --save-every 1000)

train() { # NAME OPTIONS...
    local name=$1 && shift
    accelerate launch -m hub_models.music_vae.train "${DATA_OPTIONS[@]}" --output "$OUTPUT/$name" "${LOOP[@]}" "$@"
}

bundle() { # NAME
    local folder=hub_models/bundled/music-vae-groove-2bar-$1
    python -m hub_models.music_vae.bundle --model "$OUTPUT/$1" --drum-map nine --half --output "$folder"
    python -m hub_models.music_vae.evaluate --model "$folder" "${DATA_OPTIONS[@]}" --drum-map roland --split validation \
        --output "$folder/metrics.json"
    python -m hub_models.hub card "music-vae-groove-2bar-$1" --output "model_cards/music-vae-groove-2bar-$1.md"
}

# The first stage learns the drums, with less dropout than the preset's 0.7: with that, 2,000 steps gave a model whose own
# hits agreed with the drummer's at F1 0.57, with 0.1 at 0.67.
train humanize-1 --preset groovae_2bar_humanize --max-steps "${STEPS_1:-2000}" --learning-rate 2e-3 --decay-rate 0.9985 \
    --override 'encoder_hidden_sizes=[256]' 'decoder_hidden_sizes=[128,128]' latent_size=128 max_beta=0.02 dropout=0.1
SECOND=(--learning-rate 1e-3 --override dropout=0.0 max_beta=0.02)
train humanize --init-from "$OUTPUT/humanize-1" --max-steps "${STEPS_2:-1000}" --decay-rate 0.9985 "${SECOND[@]}"
train tap --init-from "$OUTPUT/humanize-1" --corruptions tap fixed_velocities \
    --max-steps "${STEPS_2:-900}" --decay-rate 0.9975 "${SECOND[@]}"
train add-closed-hh --init-from "$OUTPUT/humanize-1" --corruptions add_closed_hi_hat \
    --max-steps "${STEPS_2:-600}" --decay-rate 0.9965 "${SECOND[@]}"
for name in humanize tap add-closed-hh; do bundle "$name"; done
