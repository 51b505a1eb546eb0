"""What the ladder index and every schedule cost: prints times and memory for synthetic ladders.

Usage: python experiments/curriculum/draws.py [ROWS ...]   (default: 1000000 10000000)
"""

import sys
import time

import numpy
import torch

from observer.curriculum import (
    AdaptiveTarget,
    DrawRequest,
    Gaussian,
    LadderIndex,
    Mixture,
    NeuraLadder,
    Part,
    Random,
    SelfPaced,
    Shuffled,
    Sorted,
    SourceUCB,
    Stage,
    Stages,
    VarianceDriven,
)

COUNT, HORIZON, STEPS = 128, 10_000, 20
SCHEDULES = {
    "Random": Random(),
    "Sorted": Sorted(),
    "Stages": Stages([Stage(2500, {0: 1, 1: 1}), Stage(None, dict.fromkeys(range(9), 1))]),
    "NeuraLadder": NeuraLadder(),
    "NeuraLadder, by difficulty": NeuraLadder(by="difficulty"),
    "Gaussian": Gaussian(),
    "AdaptiveTarget": AdaptiveTarget(),
    "AdaptiveTarget, by difficulty": AdaptiveTarget(by="difficulty"),
    "SourceUCB": SourceUCB(),
    "VarianceDriven": VarianceDriven(),
    "SelfPaced": SelfPaced(),
    "Shuffled NeuraLadder": Shuffled(NeuraLadder()),
    "Mixture of NeuraLadder and Random": Mixture(
        {"ladder": Part(NeuraLadder(), 0.8), "random": Part(Random(), 0.2)}
    ),
}


def columns(size):
    chance = numpy.random.default_rng(0)
    level_R = chance.integers(0, 9, size)
    complexity_R = (150 + 12 * level_R + chance.gamma(4.0, 20.0, size)).astype(numpy.float32)
    return (
        (level_R / 8).astype(numpy.float32),
        complexity_R,
        level_R,
        chance.integers(0, 3, size, dtype=numpy.uint8),
    )


def seconds(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main():
    torch.set_num_threads(1)
    for size in [int(given) for given in sys.argv[1:]] or [1_000_000, 10_000_000]:
        given = columns(size)
        opened, index = seconds(lambda given=given: LadderIndex(*given, sources=["charts", "maps", "text"]))
        print(f"\n{size:,} rows, {COUNT} prompts per step, one thread")
        print(f"index built in {opened:.2f} s, {index.nbytes / 1e6:.0f} MB")
        for by in ("both", "complexity"):
            ordered, _ = seconds(lambda by=by, index=index: index.order(by))
            print(f"order by {by} in {ordered:.2f} s, {index.nbytes / 1e6:.0f} MB with it")
        print(f"digest in {seconds(lambda index=index: index.digest)[0]:.2f} s")
        print("| schedule | first draw, ms | later draws, median and worst of 20, ms |\n|---|---|---|")
        for name, schedule in SCHEDULES.items():
            chance, own = numpy.random.default_rng(1), index.with_memory({})
            times = []
            for step in range(HORIZON // 2, HORIZON // 2 + STEPS + 1):
                request = DrawRequest(own, step, COUNT, HORIZON, seed=0)
                took, rows = seconds(lambda request=request, schedule=schedule: schedule.batch(request))
                times.append(1000 * took)
                rates = (chance.integers(0, 9, COUNT) / 8).tolist()
                own.observe(rows, rates, step)
                own.memory = schedule.memory_after(request, rows, rates)
            print(
                f"| {name} | {times[0]:.0f} | {numpy.median(times[1:]):.1f}, {max(times[1:]):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
