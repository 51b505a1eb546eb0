"""Times drawing through this project's engine ``VLLM`` against vLLM alone: the same requests, in one run.

    python experiments/speed/against_vllm.py [--model PATH] [--prompts 8] [--group 8] [--tokens 64]
        [--side 224] [--pairs 21] [--syncs 5] [--threads N] [--output DIR]

Both sides are one ``vllm.LLM`` in one process, the one that ``VLLM`` has started, with the same weights, the
same ``SamplingParams`` and the same seeds, so they draw the same tokens. That they do, with equal log-probs,
is checked for each pair on a CPU; on a GPU, whose kernels may add up in another order, it is counted. A
prompt is a PNG of noise and a question; a completion has exactly ``--tokens`` tokens. Sides take turns, one
pair forwards and the next backwards; two pairs of warm-up do not count. Before each call vLLM forgets keys,
values and pictures, as after a sync, or else all but the first would be hits.

``engine``: ``VLLM.generate`` of rendered prompts against ``LLM.generate`` of token ids with decoded pictures.
``with rendering``: ``Answerer.generate`` of problems, nothing rendered ahead, against the chat template,
Pillow and ``LLM.generate`` of texts. Both count against this project what it does beyond vLLM alone: prompt
ids checked, texts decoded, a process guarded, and pictures decoded here too.

The ratio is tokens per second of this project in parts of vLLM's; its interval, of 95 % at least, is that of
the median by ranks. Seconds are of the wall clock; the ratio of processor seconds is beside it. Last, a
policy of torch is loaded, its weights are handed over ``--syncs`` times, and the log-probs of drawing and
training are compared.

``DIR`` gets ``against_vllm.json``, with every pair and the name of the GPU.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from against_trl import OTHERS_SHARE, machine_seconds
from charts import machine
from PIL import Image
from rich.console import Console
from rich.table import Table
from same_work import CHECKPOINT, QUESTION, noise
from scipy.stats import quantile_test

from observer.answering import Answerer
from observer.policy import Policy, PolicySpec
from observer.rewards import Observe
from observer.rollout import VLLM
from observer.rollout.vllm.sampling import sampling_params, seed_of
from observer.rollout.vllm.sync import forget
from observer.types import Picture, Problem, Sampling, Turn

WARM_UP = 2
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def decoded(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def write_problems(folder, count, side):
    """Return problems whose pictures are files of noise."""
    problems = []
    for row in range(count):
        path = Path(folder) / f"{row}.png"
        noise(row, side).save(path)
        picture = Picture(str(path), size=lambda: (side, side), load=partial(decoded, path))
        turns = (Turn("user", f"<image>{QUESTION}"),)
        problems.append(Problem(str(row), row, turns, answer="1", kind="integer", pictures=(picture,)))
    return problems


class Bare:
    """vLLM alone, used as its documentation says."""

    def __init__(self, served, processor):
        self._served, self._processor = served, processor

    def texts(self, problems):
        """Return prompts as text with their decoded pictures."""
        content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
        chat = [{"role": "user", "content": content}]
        text = self._processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return [
            {"prompt": text, "multi_modal_data": {"image": decoded(one.pictures[0].name)}} for one in problems
        ]

    def ids(self, problems):
        """Return prompts as token ids with their decoded pictures."""
        made = self.texts(problems)
        for one in made:
            one["prompt_token_ids"] = self._processor.tokenizer(one.pop("prompt")).input_ids
        return made

    def generate(self, requests, sampling):
        """Draw."""
        params = sampling_params(sampling, self._served.banned_ids, self._served.end_ids)
        return self._served.llm.generate(requests, params, use_tqdm=False)

    def answer(self, problems, sampling):
        """Make prompts of problems, and draw."""
        return self.generate(self.texts(problems), sampling)


def timed(job, served, seed):
    """Return what a job returns, and its seconds by clock, with nothing in vLLM's caches before."""
    forget(served.llm)
    gc.collect()
    torch.manual_seed(seed)
    begin = {name: clock() for name, clock in CLOCKS.items()}
    result = job()
    return result, {name: clock() - begin[name] for name, clock in CLOCKS.items()}


def same_tokens(groups, outputs, given):
    """Return the share of completions whose tokens both sides have drawn alike.

    Raises:
        RuntimeError: a completion has another length; or, on a CPU, other tokens or log-probs.
    """
    same = 0
    for group, output in zip(groups, outputs, strict=True):
        for one, other in zip(group.completions, output.outputs, strict=True):
            if not len(one.ids) == len(other.token_ids) == given.tokens:
                raise RuntimeError(f"row {group.problem.id}: a completion has not {given.tokens} tokens")
            alike = one.ids == tuple(other.token_ids)
            if given.device == "cpu" and not (alike and one.logprobs == tuple(other.logprobs.logprobs)):
                raise RuntimeError(f"row {group.problem.id}: the sides have other tokens or log-probs")
            same += alike
    return same / (given.prompts * given.group)


def take_turns(ours, bare, served, given):
    """Return the seconds of both sides by clock, pair after pair.

    Args:
        ours: from a sampling to groups.
        bare: from a sampling to vLLM's outputs.
        served: vLLM.
        given: the options; every pair has a step, and so numbers, of its own.
    """
    jobs, pairs = {"observer": ours, "vllm": bare}, []
    for turn in range(WARM_UP + given.pairs):
        sampling = Sampling(given.group, max_tokens=given.tokens, min_tokens=given.tokens, step=turn)
        seed = seed_of([prompt.problem.id for prompt in given.rendered], sampling)
        results, seconds = {}, {}
        for name in sorted(jobs, reverse=turn % 2 == 1):
            results[name], seconds[name] = timed(partial(jobs[name], sampling), served, seed)
        same = same_tokens(results["observer"], results["vllm"], given)
        if turn >= WARM_UP:
            pairs.append(seconds | {"same_tokens": same})
    return pairs


def ratios(pairs, clock):
    """Return the median of this project's speed in parts of vLLM's, and its interval."""
    values = [pair["vllm"][clock] / pair["observer"][clock] for pair in pairs]
    interval = quantile_test(values, p=0.5).confidence_interval(confidence_level=0.95)
    return {"median": statistics.median(values), "interval": [float(interval.low), float(interval.high)]}


def sync_and_compare(engine, spec, prompts, given):
    """Return the seconds of each sync, and how far log-probs of drawing and training are apart afterwards."""
    policy = Policy(spec, given.processor).to(given.device)
    seconds = []
    for version in range(1, WARM_UP + given.syncs + 1):
        begin = time.perf_counter()
        engine.sync(policy.weights(), version)
        if given.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    groups = engine.generate(prompts, Sampling(given.group, max_tokens=given.tokens))
    apart = []
    for group in groups:
        with torch.no_grad():
            values_G_T = policy.logprobs([group], with_entropy=False).values_N_T.float().cpu()
        for values_T, one in zip(values_G_T, group.completions, strict=True):
            apart.append((values_T[: len(one.ids)] - torch.tensor(one.logprobs)).abs())
    apart_K = torch.cat(apart)
    parameters = sum(parameter.numel() for parameter in policy.parameters())
    return {
        "parameters": parameters,
        "seconds": seconds[WARM_UP:],
        "logprobs_differ": {"mean": float(apart_K.mean()), "largest": float(apart_K.max())},
    }


def show(record):
    """Print tokens per second, ratios and seconds of a sync."""
    options = record["options"]
    drawn = options["prompts"] * options["group"] * options["tokens"]
    table = Table(title=f"{record['device']}: tokens per second, medians of {options['pairs']} pairs")
    for heading in ("", "vLLM alone", "observer", "ratio (interval)", "by processor seconds"):
        table.add_column(heading, justify="right")
    for name, point in record["points"].items():
        speeds = [
            drawn / statistics.median(pair[side]["wall"] for pair in point["pairs"])
            for side in ("vllm", "observer")
        ]
        cells = [
            f"{figure['median']:.3f} ({figure['interval'][0]:.3f} to {figure['interval'][1]:.3f})"
            for figure in point["ratios"].values()
        ]
        table.add_row(name, *(f"{speed:,.0f}" for speed in speeds), *cells)
    Console(width=120).print(table)
    same = [pair["same_tokens"] for point in record["points"].values() for pair in point["pairs"]]
    print(f"completions with the same tokens on both sides: {statistics.mean(same):.1%}")
    sync, apart = record["sync"], record["sync"]["logprobs_differ"]
    print(
        f"a sync of {sync['parameters']:,} parameters: {statistics.median(sync['seconds']):.3f} s "
        f"({min(sync['seconds']):.3f} to {max(sync['seconds']):.3f}); log-probs of drawing and training "
        f"differ by {apart['mean']:.1e} in the mean, {apart['largest']:.1e} at most"
    )


def main():
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default=CHECKPOINT, help="a folder")
    parser.add_argument("--dtype", default="bfloat16" if cuda else "float32", help="of policy and engine")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8, help="completions per prompt")
    parser.add_argument("--tokens", type=int, default=64, help="of a completion, exactly")
    parser.add_argument("--side", type=int, default=224, help="of a picture, pixels")
    parser.add_argument("--room", type=int, default=512, help="tokens of a prompt at most")
    parser.add_argument("--pairs", type=int, default=21, help="at least 10")
    parser.add_argument("--syncs", type=int, default=5)
    parser.add_argument("--memory-share", type=float, default=0.4, help="of a GPU, for vLLM")
    parser.add_argument("--threads", type=int, help="of torch; as many as cores")
    parser.add_argument("--output", type=Path, default=Path("runs/speed"))
    given = parser.parse_args()
    options = {name: value for name, value in vars(given).items() if name != "output"}
    if given.threads:
        torch.set_num_threads(given.threads)
    given.device = "cuda" if cuda else "cpu"
    spec = PolicySpec(given.model, dtype=given.dtype, max_pixels=given.side**2)
    engine = VLLM(memory_share=given.memory_share)
    plain = Observe(system_prompt="")
    answerer = Answerer.of(spec, plain, engine=engine, max_prompt_tokens=given.room)
    answerer.start(spec, max_tokens=given.tokens)
    given.processor = answerer.renderer.processor
    import vllm

    record = {
        "device": torch.cuda.get_device_name() if cuda else machine()["processor"],
        "cuda": torch.version.cuda if cuda else None,
        "machine": machine() | {"vllm": vllm.__version__, "threads": torch.get_num_threads()},
        "options": options,
        "points": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        problems = write_problems(folder, given.prompts, given.side)
        given.rendered = answerer.renderer.render(problems)
        bare = Bare(engine.served, given.processor)
        requests = bare.ids(problems)
        sides = {
            "engine": (partial(engine.generate, given.rendered), partial(bare.generate, requests)),
            "with rendering": (partial(answerer.generate, problems), partial(bare.answer, problems)),
        }
        for name, (ours, alone) in sides.items():
            begin, machine_before, own_before = time.perf_counter(), machine_seconds(), time.process_time()
            pairs = take_turns(ours, alone, engine.served, given)
            elsewhere = machine_seconds() - machine_before - (time.process_time() - own_before)
            elsewhere /= time.perf_counter() - begin
            if elsewhere > OTHERS_SHARE:
                print(f"other processes used {elsewhere:.0%} of a processor: no figures to keep")
            found = {clock: ratios(pairs, clock) for clock in CLOCKS}
            record["points"][name] = {"elsewhere_share": elsewhere, "ratios": found, "pairs": pairs}
            print(f"{name}: {found['wall']['median']:.3f}", flush=True)
        record["sync"] = sync_and_compare(engine, spec, given.rendered, given)
    answerer.close()
    show(record)
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "against_vllm.json").write_text(json.dumps(record, indent=1) + "\n")
    print(given.output / "against_vllm.json")


if __name__ == "__main__":
    main()
