#!/bin/sh
# Audits three models on tiles: the cold start, the quickstart's, and a blind one. 6 minutes on one core.
set -e
observer fit --config quickstart --run_dir runs/grounding/quickstart
observer fit --config experiments/grounding/blind.yaml
for model in observer:tiles runs/grounding/quickstart/export runs/grounding/blind/export; do
    name=$(echo "$model" | tr ':/' '--')
    observer evaluate --config eval --responses 0 --audit.rows 256 --model.path "$model" \
        --output "runs/grounding/audit-$name"
done
