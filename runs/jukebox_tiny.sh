#!/usr/bin/env bash
# jukebox-tiny: a whole Jukebox for a laptop, with artists, genres and lyrics that can be heard and measured.
#
#   runs/jukebox_tiny.sh DATA OUTPUT
#
# DATA holds the folders pop909, multitrack_free, folk and groove (see hub_models/hub/data_sources.yaml for their origins and
# licences), each with a splits.csv of the columns file and split; an archive in a folder that is not unpacked yet is unpacked
# below OUTPUT. SPLITS=DIR names another place for the splits. OUTPUT is for the songs and for checkpoints; started again, the
# script goes on where it was stopped.
#
# Three hours of songs are made first. Six instruments play classical, pop and folk tunes, two of them each excerpt, so that
# artist and genre say different things; a drum kit plays as recorded. Two voices say and sing lyrics with espeak-ng (a
# program under the GPL, whose output is free; on Debian: apt-get install espeak-ng): one word on each beat at 120 beats a
# minute, nearly all of four letters, so that a word's place in the text is proportional to its time.
#
# Then the VQ-VAE and the three priors are trained, each prior in two stages, bundled, measured, and the card is written.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=${1:?usage: $0 DATA OUTPUT} OUTPUT=${2:?usage: $0 DATA OUTPUT} SPLITS=${SPLITS:-$1}
HOURS=${HOURS:-3}
SETS=(pop909 multitrack_free folk groove)

MUSIC=$OUTPUT/music # the same folders, unpacked
for set in "${SETS[@]}"; do
    if [ ! -e "$MUSIC/$set" ]; then
        mkdir -p "$MUSIC"
        if [ -e "$DATA/$set/$set.tar.xz" ]; then
            mkdir -p "$MUSIC/$set.incomplete"
            tar -xf "$DATA/$set/$set.tar.xz" -C "$MUSIC/$set.incomplete"
            mv "$MUSIC/$set.incomplete" "$MUSIC/$set"
        else
            ln -s "$(realpath "$DATA/$set")" "$MUSIC/$set"
        fi
    fi
done

python -m hub_models.jukebox.example_songs --data "$MUSIC" --splits "$SPLITS" --output "$OUTPUT/songs" --hours "$HOURS" \
    --workers "${WORKERS:-1}"

NAME=jukebox-tiny FOLDER=hub_models/bundled/jukebox-tiny SONGS=$OUTPUT/songs CACHE=$OUTPUT/cache
train() { # vqvae|prior OPTIONS...
    accelerate launch -m hub_models.jukebox.train "$1" --data "$SONGS" --cache "$CACHE" --schedule cosine "${@:2}"
}

train vqvae --preset "$NAME" --batch-size 2 --learning-rate 1.5e-3 --warmup-steps 50 --max-gradient-norm 1.0 \
    --evaluate-every 400 --max-validation-chunks 32 --max-steps "${VQVAE_STEPS:-3600}" --output "$OUTPUT/vqvae"

# LEVEL OUTPUT BATCH STEPS OPTIONS...; a step is 2,048 codes at the top level, 4,096 below.
train_prior() {
    train prior --vqvae "$OUTPUT/vqvae" --level "$1" --output "$2" --batch-size "$3" --max-steps "$4" --optimizer muon \
        --adam-beta2 0.99 --warmup-steps 20 --label-dropout 0.1 --lyric-dropout 0.1 --evaluate-every 250 \
        --max-validation-windows 24 "${@:5}"
}
new() { # LEVEL BATCH STEPS
    train_prior "$1" "$OUTPUT/$1" "$2" "$3" --preset "$NAME" --learning-rate 3e-3
}
further() { # LEVEL BATCH STEPS OPTIONS...: a second stage
    train_prior "$1" "$OUTPUT/$1-2" "$2" "$3" --init-from "$OUTPUT/$1" "${@:4}"
}
new top 2 "${TOP_STEPS:-1800}"
new middle 4 "${MIDDLE_STEPS:-700}"
new bottom 4 "${BOTTOM_STEPS:-800}"
# Words are learnt last: all that is spoken, but one in three of the instruments' songs.
SPEECH=$OUTPUT/mostly_speech.jsonl
python - "$SONGS/songs.jsonl" "$SPEECH" <<'END'
import json, re, sys

rows = [json.loads(row) for row in open(sys.argv[1])]
kept = [row for row in rows if row["lyrics"] or row["split"] != "train" or int(re.findall(r"\d+", row["file"])[-1]) % 3 == 2]
with open(sys.argv[2], "w") as file:
    file.writelines(json.dumps(row) + "\n" for row in kept)
END
further top 2 "${TOP_STEPS:-1800}" --learning-rate 3e-3 --labels "$SPEECH"
further middle 4 "${MIDDLE_FURTHER_STEPS:-800}" --learning-rate 2e-3
further bottom 4 "${BOTTOM_STEPS:-800}" --learning-rate 2e-3

python -m hub_models.jukebox.bundle --vqvae "$OUTPUT/vqvae" --priors "$OUTPUT"/{top,middle,bottom}-2 --output "$FOLDER" \
    --dtype float16 --align-on "$SONGS" --cache "$CACHE" --max-megabytes 60
python -m hub_models.jukebox.evaluate --model "$FOLDER" --data "$SONGS" --cache "$CACHE" --output "$FOLDER/metrics.json"
python -m hub_models.hub card "$NAME" --output "model_cards/$NAME.md"
