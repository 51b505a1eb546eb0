#!/usr/bin/env bash
# All figures of README.md beside this file, from nothing: about 45 minutes on two quiet cores. It goes on where it was cut off.
# Needs: pip install 'observer-r1[handwriting]'
set -euo pipefail
cd "$(dirname "$0")/../.."
here=experiments/handwriting
export OMP_NUM_THREADS=1

[ -d runs/handwriting-start/export ] || observer fit --config handwriting_start
observer ladder build --config "$here/ladder.yaml"
observer ladder inspect --output runs/handwriting-ladder --png "$here/ladder.png"
PYTHONPATH=. python "$here/boards.py"
PYTHONPATH=. python "$here/validity.py"
observer ablate run "$here/grid.yaml" --jobs 2
observer ablate report "$here/grid.yaml"
