#!/usr/bin/env bash
# The figures of "What does each part do?" in README.md beside this file, from nothing: an hour and a half on two
# quiet cores at most. It goes on where it was cut off.
# Needs: pip install 'observer-r1[handwriting]'
set -euo pipefail
cd "$(dirname "$0")/../.."
here=experiments/handwriting
export OMP_NUM_THREADS=1

[ -d runs/handwriting-parts-start/export ] || observer fit --config handwriting_start --config "$here/parts_start.yaml"
observer ladder build --config "$here/parts_ladder.yaml"
observer ablate run "$here/parts.yaml" --jobs "${JOBS:-2}" --output runs/handwriting-parts
observer ablate report "$here/parts.yaml" --output runs/handwriting-parts
rm -rf "$here/parts_report"
cp -r runs/handwriting-parts/report "$here/parts_report"
