#!/usr/bin/env bash
# The table of schedules in README.md beside this file: five schedules, five seeds each, on one thread each, two side by side.
# About 90 minutes on 2 cores. Then: python experiments/curriculum/compare.py
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1 out=${1:-runs/experiments/schedules}

fit() { # schedule seed
  local schedule=(--curriculum.schedule "$1")
  [ "$1" != Shuffled ] || schedule+=(--curriculum.schedule.schedule NeuraLadder)
  observer fit --config configs/quickstart.yaml --data.test.init_args.rows 2048 --trainer.enable_progress_bar false \
    "${schedule[@]}" --seed_everything "$2" --run_dir "$out/$1/seed-$2" >"$out/$1-$2.log" 2>&1
}
export -f fit

mkdir -p "$out"
for seed in 0 1 2 3 4; do
  printf '%s\n' Random NeuraLadder Shuffled Sorted AdaptiveTarget | sed "s/\$/ $seed/"
done | xargs -P 2 -L 1 bash -c 'fit "$0" "$1"'
