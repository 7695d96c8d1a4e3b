#!/bin/sh
# The main job on real data: a map becomes an index, and the index answers.
set -eu
BIN=${BIN:-.venv/bin}
OUT=${OUT:-out}
INDEX=$OUT/helsinki.geoindex
mkdir -p "$OUT"

say() { printf '\n$ %s\n' "$*"; }
run() { say "geoindex $*"; "$BIN/geoindex" "$@"; }

SAMPLE=$("$BIN/python" -m geoindex.datasets)
run build "$SAMPLE" -o "$INDEX" --overwrite
run info "$INDEX"
# the cafés most like one: an id of OpenStreetMap is all it takes
run query "$INDEX" --like node/1379054406 -k 5
# something that need not exist, within a walk of the central station
run query "$INDEX" --tags amenity=cafe,outdoor_seating=yes --near 24.9414,60.1719 --radius 600m -k 5
# the National Theatre's like, at least half a kilometre away
run query "$INDEX" --like way/122595207 --not-within 500m -k 5
# the parts of town most like the one around the station
run query "$INDEX" --at 24.9414,60.1719 --cells -k 5
run export "$INDEX" -o "$OUT/helsinki.parquet" --overwrite
run check "$INDEX"
