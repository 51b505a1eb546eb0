"""The parts of the check, each in a process of its own: train, vllm, resume, export. See check.py."""

import contextlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

from experiments.gpu.exported import answered, compared
from experiments.gpu.model import SIZES, config_of, make_model

HERE = Path(__file__).resolve().parent
CONTEXT_GIB = 1.0
"""What the driver and libraries take of a card beside torch's own memory."""
MEMORY_SHARE = 0.42
"""Of the card, for vLLM: 7.5 GB of weights in bfloat16, keys and values, and a pass over prompts."""
STEPS = 3
KILLED_AFTER, RESUMED_STEPS = 2, 5


class NotRunError(Exception):
    """A part cannot run here; the message says why."""


class Check:
    """One part: where its files are, how large the model is, and what of the card may be used."""

    def __init__(self, work, size, cap_gib):
        """Keep them, and cap torch's memory."""
        self.work, self.name, self.size = Path(work), size, SIZES[size]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.cap_gib = cap_gib
        self.share = MEMORY_SHARE
        if self.device == "cuda":
            total = torch.cuda.get_device_properties(0).total_memory / 2**30
            if cap_gib < total:
                torch.cuda.set_per_process_memory_fraction((cap_gib - CONTEXT_GIB) / total)
                self.share = MEMORY_SHARE * cap_gib / total

    def made(self):
        """Write the model, if it is not there."""
        began = time.perf_counter()
        count = make_model(self.size, self.work / "model", self.device)
        return {"weights": count, "model_seconds": time.perf_counter() - began}

    def words(self, run, engine, *more):
        """Return the words of ``observer fit``.

        Args:
            run: name of the run directory.
            engine: TransformersEngine or VLLM.
            more: further words.
        """
        size = self.size
        words = [
            *("fit", "--config", HERE / "check.yaml", "--run_dir", self.work / run),
            *("--model.policy.path", self.work / "model"),
            *("--model.policy.min_pixels", size.pixels, "--model.policy.max_pixels", size.pixels),
            *("--model.max_prompt_tokens", size.pixels // 28**2 + 64, "--model.max_tokens", size.max_tokens),
            *("--model.group_size", size.group, "--data.prompts_per_step", size.prompts),
            *("--trainer.accelerator", "gpu" if self.device == "cuda" else "cpu"),
            *("--model.engine", engine, *more),
        ]
        if engine == "VLLM":
            words += [
                "--model.engine.memory_share",
                f"{self.share:.4f}",
                "--model.engine.enforce_eager",
                "true",
            ]
            words += ["--model.engine.max_num_seqs", size.prompts * size.group]
        return [str(word) for word in words]

    def fresh(self, run):
        """Remove what an earlier check left of a run."""
        shutil.rmtree(self.work / run, ignore_errors=True)


def command(words):
    """Run a command of observer in this process; raise what it says if it fails."""
    from observer.cli import main

    said = io.StringIO()
    with contextlib.redirect_stderr(Tee(sys.stderr, said)):
        code = main(words)
    if code:
        raise RuntimeError(
            said.getvalue().strip().splitlines()[-1] if said.getvalue() else f"exit code {code}"
        )


class Tee(io.TextIOBase):
    """Writes to several streams."""

    def __init__(self, *streams):
        self.streams = streams

    def write(self, text):
        """Write to all."""
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self):
        """Flush all."""
        for stream in self.streams:
            stream.flush()


def card_rate(check):
    """Return operations per second of a product of two bfloat16 matrices, the fastest of five times ten."""
    n = check.size.rate_size
    one, other = (torch.randn(n, n, device=check.device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(6):  # the first one warms up
        finish(check)
        began = time.perf_counter()
        for _ in range(10):
            one @ other
        finish(check)
        seconds.append((time.perf_counter() - began) / 10)
    return 2 * n**3 / min(seconds[1:])


def finish(check):
    """Wait for the device."""
    if check.device == "cuda":
        torch.cuda.synchronize()


def measured_run(check, run, engine, learner, *callbacks):
    """Train three steps and return what the callback ``Figures`` wrote."""
    file = check.work / f"{run}.json"
    check.fresh(run)
    own = [{"class_path": "experiments.gpu.measured.Figures", "init_args": {"file": str(file)}}, *callbacks]
    words = check.words(run, engine, "--learner", f"experiments.gpu.measured.{learner}")
    command([*words, "--trainer.callbacks", json.dumps(own)])
    found = json.loads(file.read_text())
    summary = json.loads((check.work / run / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("complete", STEPS), summary
    lines = [json.loads(line) for line in (check.work / run / "completions.jsonl").read_text().splitlines()]
    assert {line["step"] for line in lines} == set(range(STEPS))
    assert all(update["update_norm"] > 0 for update in found["updates"]), found["updates"]
    return found | {"plan": plan(words)}


def plan(words):
    """Return what ``observer fit --plan`` says of the same options, or why it was not asked."""
    from observer.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([*words, "--plan"])
        except SystemExit as stop:
            code = stop.code
    if code:
        return {"not_run": (err.getvalue().strip().splitlines() or ["it failed"])[-1][-300:]}
    return {"text": out.getvalue(), "most_gb": planned(out.getvalue())}


def planned(text):
    """Return the most memory of a GPU at once that a plan's table says, GB; None where there is no such row.

    >>> planned("  all    │ 11.2 │ 13.9"), planned("fits: 13.9 of 25 GB")
    (13.9, None)
    """
    row = re.search(r"^\W*all\b(.*)$", text, re.MULTILINE)
    return max(map(float, re.findall(r"\d+(?:\.\d+)?", row[1])), default=None) if row else None


def train(check):
    """Three steps with pictures, adapters and the shipped engine, operations counted in the first."""
    made, rate = check.made(), card_rate(check)
    found = measured_run(check, "train", "TransformersEngine", "Counted")
    return made | {"matmul_operations_per_second": rate} | found | shares(check, found, rate)


def vllm(check):
    """The same with vLLM; then a change of the vision tower alone."""
    without_vllm()
    from experiments.gpu.freshness import faults_of

    made, rate = check.made(), card_rate(check)
    file = check.work / "tower.json"
    tower = {"class_path": "experiments.gpu.freshness.TowerOnly", "init_args": {"file": str(file)}}
    found = measured_run(check, "vllm", "VLLM", "Measured", tower)
    found["tower"] = json.loads(file.read_text())
    found["sampler_gap"] = [update["sampler_gap"] for update in found["updates"]]
    if faults := faults_of(found["tower"]):
        raise AssertionError("; ".join(faults))
    return made | {"matmul_operations_per_second": rate} | found | shares(check, found, rate)


def shares(check, found, rate):
    """Return seconds, tokens per second and operations of a step after the first, and the share of the rate.

    Operations are those that torch counted, or else those of all products with weights.
    """
    later = found["stages"][1:]
    mean = {
        name: sum(stage[name] for stage in later) / len(later)
        for name in ("tokens", "sync_seconds", "draw_seconds", "update_seconds", "step_seconds")
    }
    by_hand = products(check, mean["tokens"])
    first, out = (
        found["stages"][0],
        {"steady": mean, "tokens_per_second": mean["tokens"] / mean["step_seconds"]},
    )
    out["drawn_tokens_per_second"] = mean["tokens"] / mean["draw_seconds"]
    for stage in ("draw", "update"):
        operations = first.get(f"{stage}_operations")
        out[f"{stage}_operations"] = operations or by_hand[stage]
        out[f"{stage}_counted"] = operations is not None
        out[f"{stage}_operations_of_weights"] = by_hand[stage]
        out[f"{stage}_share"] = out[f"{stage}_operations"] / mean[f"{stage}_seconds"] / rate
    return out


def products(check, completion_tokens):
    """Return operations of all products with weights, attention between tokens left out.

    A prompt is read once by the engine and once by the policy; the policy's pass goes forward, forward again
    for its activations and backward to them, while the gradients of adapters are few. Pictures go through the
    tower once.
    """
    config, size = config_of(check.size), check.size
    text, vision = config.get_text_config(), config.vision_config
    wide, kv = text.hidden_size, text.num_key_value_heads * text.hidden_size // text.num_attention_heads
    layer = wide * (2 * wide + 2 * kv) + 3 * wide * text.intermediate_size
    layers, head = layer * text.num_hidden_layers, wide * text.vocab_size
    across = vision.hidden_size
    tower = vision.depth * (4 * across**2 + 3 * across * vision.intermediate_size)
    patches = size.prompts * size.pixels // 14**2
    prompt_tokens = size.prompts * (size.pixels // 28**2 + 30)
    draw = 2 * (layers * (prompt_tokens + completion_tokens) + head * completion_tokens + tower * patches)
    update = 3 * 2 * (layers * (prompt_tokens + completion_tokens) + head * completion_tokens)
    return {"draw": draw, "update": update}


def without_vllm():
    """Say that a part cannot run where vLLM is not there."""
    if importlib.util.find_spec("vllm") is None:
        raise NotRunError("vLLM is not installed")


def engine_here():
    """Return the engine that a run is to be resumed with."""
    return "TransformersEngine" if importlib.util.find_spec("vllm") is None else "VLLM"


def resume(check):
    """A run is killed with SIGKILL and goes on."""
    made, engine = check.made(), engine_here()
    run = check.work / "resume"
    check.fresh("resume")
    words = [*check.words("resume", engine), "--trainer.max_steps", str(RESUMED_STEPS)]
    process = start(check, words)
    try:
        while process.poll() is None and lines_of(run)[-1:] < [KILLED_AFTER]:
            time.sleep(0.01)
        assert process.poll() is None, f"it ended with {process.returncode} before it was killed"
    finally:
        process.kill()  # SIGKILL
        process.wait()
    logged = rows_of(run)
    began = time.perf_counter()
    code = start(check, [*words, "--ckpt_path", "last"]).wait()
    assert code == 0, f"the resumed run ended with {code}"
    seconds = time.perf_counter() - began
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("complete", RESUMED_STEPS), summary
    after = rows_of(run)
    assert lines_of(run) == list(range(RESUMED_STEPS))
    assert [row for row, _ in after[: len(logged)]] == [row for row, _ in logged], "other rows were drawn"
    same = sum(one == other for one, other in zip(after, logged, strict=False))
    return made | {
        "engine": engine,
        "killed_after_steps": logged[-1][0][0] + 1,
        "resume_seconds": seconds,
        "rows_equal": len(logged),
        "completions_equal": same,
    }


def start(check, words):
    """Start a fit in a process of its own, below the same cap."""
    given = json.dumps({"words": words, "work": str(check.work), "size": check.name, "cap": check.cap_gib})
    return subprocess.Popen([sys.executable, str(HERE / "check.py"), "--inside", given], stdout=sys.stderr)


def rows_of(run):
    """Return ((step, row, place), text) of the whole lines of completions.jsonl."""
    try:
        text = (run / "completions.jsonl").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return [((line["step"], line["id"], line["index"]), line["text"]) for line in lines]


def lines_of(run):
    """Return the steps that are logged, in their order."""
    return list(dict.fromkeys(step for (step, _, _), _ in rows_of(run)))


def export(check):
    """The newest run here is exported, in bfloat16; the files are loaded and answer a picture."""
    made = check.made()
    runs = [
        name for name in ("vllm", "resume", "train") if list((check.work / name).glob("checkpoints/*.ckpt"))
    ]
    if not runs:
        check.fresh("export-run")
        command([*check.words("export-run", "TransformersEngine"), "--trainer.max_steps", "1"])
        runs = ["export-run"]
    output = check.work / "export"
    check.fresh("export")
    began = time.perf_counter()
    words = ["--run_dir", str(check.work / runs[0]), "--checkpoint", "last", "--output", str(output)]
    command(["export", *words, "--dtype", "bfloat16"])
    seconds = time.perf_counter() - began
    changed, kept = compared(check.work / "model", output)
    assert changed == 7 * config_of(check.size).get_text_config().num_hidden_layers, (
        f"{changed} weights have changed"
    )
    return made | {
        "run": runs[0],
        "export_seconds": seconds,
        "weights_changed": changed,
        "weights_equal": kept,
        "answer": answered(output, check.device),
    }


PARTS = {"train": train, "vllm": vllm, "resume": resume, "export": export}
