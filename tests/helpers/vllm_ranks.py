"""One of two ranks, an engine each, each with prompts of its own: how far log-probs are from the policy's.

Arguments: the rank, a port, the file for what was found.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import distributed

from engines import gap
from observer.data import Tiles
from observer.policy import Policy, PolicySpec, load_processor
from observer.rollout import VLLM, PromptRenderer
from observer.types import Problem, Sampling, Turn

PARTS = ("visual", "language_model", "")


def rendered(policy, rank):
    boards = [Tiles(rows=64).read()[row] for row in range(7 + 8 * rank, 64, 8 + rank)]
    words = (Turn("user", "What is 3 + 4? " * 9),)
    text = [Problem(f"text {rank}", rank, words, kind="integer", answer="7")]
    return PromptRenderer(policy.processor, system_prompt="", max_tokens=256).render(boards + text * rank)


def change(policy, part, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            if part in name and weight.dim() > 1:
                weight += 0.3 * weight.std() * torch.randn(weight.shape, generator=generator)


def main(rank, port, output):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    spec, engine = PolicySpec("observer:tiles"), VLLM()
    policy = Policy(spec, load_processor(spec))
    prompts, sampling = rendered(policy, rank), Sampling(group_size=2, max_tokens=16 + rank)
    engine.longest = 512
    engine.start(spec)

    def off():
        return gap(policy, engine.generate(prompts, sampling))

    found = {"prompts": len(prompts), "first": off()}
    for version, part in enumerate(PARTS):
        change(policy, part, version)
        before = off()
        engine.sync(policy.weights(), version)
        found[part or "all"] = before, off()
        ranks = torch.ones(1)
        distributed.all_reduce(ranks)  # the trainer's group is as it was
        assert ranks.item() == 2
    output.write_text(json.dumps(found))
    distributed.barrier()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
