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
