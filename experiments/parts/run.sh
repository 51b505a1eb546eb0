#!/usr/bin/env bash
# All of README.md beside this file: three to four hours on two quiet cores. It goes on where it was stopped.
#
#   experiments/parts/run.sh                the grids one after the other, from the starts beside this file
#   experiments/parts/run.sh grid order     those alone; shifts, easy, order and controls need grid, weak needs weak_starts
#   experiments/parts/run.sh starts         the starts anew, over those: another processor makes others
set -euo pipefail
cd "$(dirname "$0")/../.."
export here=experiments/parts
jobs=${JOBS:-2}
export OMP_NUM_THREADS=1 PYTHONPATH=.

complete() { grep -q '"status": "complete"' "$1/summary.json" 2> /dev/null; }

start() { # NAME, then the options of its five runs
    local name=$1
    shift
    export -f complete warm_start
    printf '%s\n' 0 1 2 3 4 | xargs -P "$jobs" -I % bash -euo pipefail -c 'warm_start "$@"' - "$name" % "$@"
    python "$here/starts.py" "runs/$name"-{0,1,2,3,4} --csv "$here/$name.csv"
}

warm_start() { # NAME SEED, then options
    local run=runs/$1-$2 seed=$2 resume=()
    shift 2
    if complete "$run"; then return; fi
    if compgen -G "$run/checkpoints/*.ckpt" > /dev/null; then resume=(--ckpt_path last); fi
    observer fit --config warmstart --config "$here/start.yaml" "$@" --seed_everything "$seed" --run_dir "$run" "${resume[@]}"
}

needs() { # PART, then runs that it has made
    local part=$1 run
    shift
    for run in "$@"; do
        complete "$run" || { echo "$run is not there or not complete: experiments/parts/run.sh $part first" >&2 && exit 2; }
    done
}

same() { # runs of GRID that are cells of grid.yaml: CELL=VARIANT ..
    local grid=$1 pair
    shift
    mkdir -p "runs/parts-$grid"
    for pair in "$@"; do ln -sfn "../parts/${pair%=*}" "runs/parts-$grid/${pair#*=}"; done
}

grid() { # FILE, DIRECTORY
    observer ablate run "$here/$1.yaml" --jobs "$jobs" --output "runs/$2"
    observer ablate report "$here/$1.yaml" --output "runs/$2"
    mkdir -p "$here/report"
    rm -rf "$here/report/$1"
    cp -r "runs/$2/report" "$here/report/$1"
    python "$here/chains.py" "$here/$1.yaml" "runs/$2" --csv "$here/report/$1/chains.csv"
}

evaluate() { # CONFIGURATION, then variants: each of their models, where it is not measured yet; "start" is what all began from
    local config=$1 variant seed
    shift
    for variant in "$@"; do
        for seed in 0 1 2 3 4; do
            if [ "$variant" = start ]; then echo "$here/starts/$seed start-$seed"; else
                echo "runs/parts/$variant/seed-$seed/export $variant-$seed"
            fi
        done
    done | xargs -P "$jobs" -L 1 bash -c 'observer evaluate --config "$here/$0.yaml" --model.path "$1" \
        --output "runs/parts-$0/$2"' "$config"
}

elsewhere() {
    evaluate shifts start grpo observe_r1
    python "$here/shifts.py" runs/parts-shifts start grpo observe_r1 --seeds 0 1 2 3 4 --csv "$here/shifts.csv"
}

easy() {
    evaluate easy $(ls -d runs/parts/*/seed-0 | cut -d / -f 3)
    python "$here/easy.py" "$here/grid.yaml" runs/parts-easy --csv "$here/report/grid/easy.csv"
}

for part in "${@:-grid shifts easy order controls weak_starts weak}"; do
    for each in $part; do
        case $each in
            starts)
                start parts-start
                mkdir -p "$here/starts"
                for seed in 0 1 2 3 4; do
                    rm -rf "$here/starts/$seed"
                    cp -r "runs/parts-start-$seed/export" "$here/starts/$seed"
                done
                ;;
            grid)
                grid grid parts
                for figures in effects forms; do
                    python "$here/$figures.py" "$here/grid.yaml" runs/parts --csv "$here/report/grid/$figures.csv"
                done
                ;;
            shifts) needs grid runs/parts/{grpo,observe_r1}/seed-{0,1,2,3,4}; elsewhere ;;
            easy) needs grid runs/parts/{none,observe_r1}/seed-{0,1,2,3,4}; easy ;;
            order)
                needs grid runs/parts/{no_order,observe_r1}/seed-{0,1,2,3,4}
                same order no_order=random observe_r1=neura_ladder
                grid order parts-order
                python "$here/halfway.py" "$here/order.yaml" runs/parts-order --csv "$here/report/order/halfway.csv"
                ;;
            controls)
                needs grid runs/parts/{grpo,observe_r1,no_weight}/seed-{0,1,2,3,4}
                same controls grpo=grpo observe_r1=observe_r1 no_weight=no_weight
                grid controls parts-controls
                ;;
            weak_starts) start parts-weak-start --config "$here/weak_start.yaml" ;; # its last line is the difficulty of weak.yaml
            weak) needs weak_starts runs/parts-weak-start-{0,1,2,3,4}; grid weak parts-weak ;;
            *) echo "$each: write starts, grid, shifts, easy, order, controls, weak_starts or weak" >&2 && exit 2 ;;
        esac
    done
done
