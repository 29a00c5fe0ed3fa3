#!/usr/bin/env bash
# transformer-autoencoder-piano: a melody in the style of a performance; and the models that the card compares it with, one
# of which ships, too: transformer-autoencoder-piano-unconditional.
#
#   runs/transformer_autoencoder_piano.sh DATA OUTPUT
#
# DATA holds the folders piano_asap and piano_supra (see hub_models/hub/data_sources.yaml for their origins and licences),
# each with a splits.csv of the columns file, split and composition_group. SPLITS=DIR names another place for the splits.
# OUTPUT is for checkpoints; started again, the script goes on where it was stopped.
#
# First one model without encoders learns what piano performances are. From it start four that hear nothing more, a style, a
# melody, and both; each goes on for as many steps. Performance encoders start as the decoder's first layers, and what the
# decoder hears of encoders starts at zero, so that each begins by writing what the first model writes.
# As in the paper's data, a style is that of the very crop to write; beside a melody it is heard in another key ("noisy"),
# lest it be copied. The model that hears both plays without a melody, too: a share of its training has a blank one. All are
# measured with styles as they are.
#
# The published checkpoints were trained on one thread of a CPU shared with other work, which is why they are small and the
# crops short (2.1 million parameters without encoders, 512 tokens; the paper: crops of 2048). On a GPU leave SIZES out,
# which gives the preset's, and take a hundred times the steps.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${1:?usage: $0 DATA OUTPUT} OUTPUT=${2:?usage: $0 DATA OUTPUT} SPLITS=${SPLITS:-$1}
NAME=transformer-autoencoder-piano
STEPS_ALONE=${STEPS_ALONE:-1453} # of the first model
STEPS_EACH=${STEPS_EACH:-500}    # of each of the four
MELODY_DROPOUT=0.15              # share of blank melodies
ENCODER_LAYERS=2
SIZES=(hidden_size=192 num_hidden_layers=4 num_attention_heads=4 key_size=null intermediate_size=768
    max_relative_position=256 context_length=512 dropout=0.0 attention_dropout=0.0 activation_dropout=0.0)
SETS=(piano_asap piano_supra)
DATA_OPTIONS=(--data "${SETS[@]/#/$DATA/}" --splits)
for set in "${SETS[@]}"; do DATA_OPTIONS+=("$SPLITS/$set/splits.csv"); done
LOOP=(--replications 0 --tokens-per-batch 2048 --optimizer muon --adam-beta2 0.99 --learning-rate 3e-3
    --evaluate-every 200 --max-validation-examples 48 --save-every 200)

train() { # NAME OPTIONS...
    accelerate launch -m hub_models.transformer_autoencoder.train "${DATA_OPTIONS[@]}" "${LOOP[@]}" --output "$OUTPUT/$1" \
        "${@:2}"
}

train alone --preset t_rel_len2048_h384_att512_fs1024_n6_dropout10 --override "${SIZES[@]}" \
    --max-steps "$STEPS_ALONE" --warmup-steps 40 --schedule constant

FOUR=(--max-steps "$STEPS_EACH" --warmup-steps 20 --schedule cosine --seed 1)
ENCODERS=(--init-decoder-from "$OUTPUT/alone" --override "num_encoder_layers=$ENCODER_LAYERS")
train unconditional "${FOUR[@]}" --init-from "$OUTPUT/alone"
train performance "${FOUR[@]}" "${ENCODERS[@]}" performance_encoder=style
train melody "${FOUR[@]}" "${ENCODERS[@]}" melody_encoder=true
train both "${FOUR[@]}" "${ENCODERS[@]}" performance_encoder=style melody_encoder=true \
    --noisy --melody-dropout "$MELODY_DROPOUT"

FOLDER=hub_models/bundled/$NAME
python -m hub_models.transformer_autoencoder.bundle --model "$OUTPUT/unconditional" --half --output "$FOLDER-unconditional"
python -m hub_models.transformer_autoencoder.bundle --model "$OUTPUT/both" --half --output "$FOLDER"

evaluate() { # MODEL JSON OPTIONS...
    python -m hub_models.transformer_autoencoder.evaluate "${DATA_OPTIONS[@]}" --split validation \
        --max-segments 128 --num-performances 24 --model "$1" --output "$2" "${@:3}"
}
evaluate "$FOLDER-unconditional" "$FOLDER-unconditional/metrics.json"
cp "$FOLDER-unconditional/metrics.json" "$FOLDER/metrics_unconditional.json"
evaluate "$OUTPUT/performance" "$FOLDER/metrics_performance.json" --compare-with "$FOLDER/metrics_unconditional.json"
evaluate "$OUTPUT/melody" "$FOLDER/metrics_melody.json" --compare-with "$FOLDER/metrics_unconditional.json"
evaluate "$FOLDER" "$FOLDER/metrics.json" --compare-with "$FOLDER"/metrics_{unconditional,performance,melody}.json
for name in "$NAME" "$NAME-unconditional"; do
    python -m hub_models.hub card "$name" --output "model_cards/$name.md"
done
