#!/usr/bin/env bash
# The figures of README.md beside this file: five seeds of the quickstart and its controls. About 25 minutes on 2 cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-runs/experiments/quickstart}
fit() { observer fit --config configs/quickstart.yaml --data.test.init_args.rows 2048 "$@"; }

for seed in 0 1 2 3 4; do
  fit --seed_everything "$seed" --run_dir "$out/seed-$seed"
done
# A learning rate of 0, and rewards dealt out anew among the responses of a rollout: neither may help.
fit --model.optimizer.init_args.lr 0 --run_dir "$out/lr-0"
PYTHONPATH=. fit --learner experiments.controls.shuffled_rewards.ShuffledRewards --run_dir "$out/shuffled-rewards"
# What the trained model answers without looking, and looking at another board of the same level.
for picture in right blank wrong; do
  observer test --config configs/quickstart.yaml --data.test.init_args.rows 2048 --ckpt_path "$out/seed-0/checkpoints/last.ckpt" \
    --data.test.picture "$picture" --run_dir "$out/test-$picture"
done
