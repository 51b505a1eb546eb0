"""One of two ranks that share a vLLM, or one process for the prompts of both: what is drawn, and how far off.

Arguments: the rank, a port, the file for what was found, ranks.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import distributed

from engines import gap
from observer.policy import Policy, PolicySpec, load_processor
from observer.rollout import VLLM
from observer.types import RefusedError, Sampling
from vllm_ranks import change, rendered

GREEDY = Sampling(group_size=1, max_tokens=16, temperature=0)
USUAL = Sampling(group_size=3, max_tokens=16, seed=5, step=2)


def failing_at(call, function):
    """A function that runs out of memory when it is called for the n-th time."""
    left = [call]

    def fails(*given, **named):
        left[0] -= 1
        if not left[0]:
            raise MemoryError("no more")
        return function(*given, **named)

    return fails


def main(rank, port, output, ranks):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    spec, engine = PolicySpec("observer:tiles"), VLLM(tensor_parallel=ranks, max_num_seqs=8)
    policy = Policy(spec, load_processor(spec))
    of_each = [rendered(policy, 0), rendered(policy, 1)]
    prompts = of_each[rank] if ranks == 2 else of_each[0] + of_each[1]
    engine.longest = 512
    engine.start(spec)
    found = {}

    def draw(name, asked, sampling):
        groups = engine.generate(asked, sampling) if asked is not None else []
        assert [group.prompt for group in groups] == list(asked or [])
        ids = [[group.problem.id, one.index, one.ids] for group in groups for one in group.completions]
        found[name] = {"ids": ids, "off": gap(policy, groups) if groups else 0.0}

    state = torch.get_rng_state()
    draw("greedy", prompts, GREEDY)
    draw("usual", prompts, USUAL)
    draw("of one rank alone", [] if rank else of_each[0], USUAL)
    change(policy, "visual", 1)
    draw("old", prompts, GREEDY)
    engine.sync(policy.weights(), 1)
    draw("new", prompts, GREEDY)
    if rank == 0:  # the other rests, and takes part
        draw("while another rests", of_each[0], USUAL)
        draw("and again", of_each[0], GREEDY)
    engine.rest()
    draw("after it", prompts, USUAL)
    engine.rest()
    assert torch.equal(torch.get_rng_state(), state)
    found["refused"] = ""
    if ranks == 2:
        long = Sampling(group_size=1, max_tokens=500 if rank else 16, temperature=0)
        try:
            engine.generate(prompts, long)
        except RefusedError as error:
            found["refused"] = str(error)
        draw("after a refusal", prompts, GREEDY)
        core = engine.served.llm.llm_engine.model_executor.driver_worker.worker.model_runner
        if rank:
            core.execute_model = failing_at(3, core.execute_model)
        try:
            engine.generate(prompts, GREEDY)
        except Exception as error:
            found["failed"] = f"{type(error).__name__}: {error}"
        trainers = torch.ones(1)
        distributed.all_reduce(trainers)  # the trainer's group is as it was
        assert trainers.item() == 2
    output.write_text(json.dumps(found))
    distributed.barrier()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
