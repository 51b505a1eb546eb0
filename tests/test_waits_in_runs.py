"""Where a run can hang, it says so: an engine, the verifier, a disk. Ranks: ``test_ranks.py``."""

from types import SimpleNamespace

import pytest
import torch

from observer.answering import Answerer
from observer.callbacks import AtomicCheckpointIO
from observer.cli import main
from observer.data import Tiles
from observer.policy import PolicySpec
from observer.rewards import Accuracy, Observe, Rubric
from observer.rollout import Engine
from observer.run.waiting import AFTER, WATCH
from observer.types import Sampling
from observer.verifier import Verifier
from stand_in import ask
from waited import hearing


class Hanging(Engine):
    """Answers nothing before it was said that it is being waited for."""

    weights = "own"

    def __init__(self, heard):
        self.heard = heard

    def start(self, policy):
        self.heard.until("the engine starts (Hanging)")

    def sync(self, named_tensors, version):
        self.heard.until("the engine takes the weights (after step 7)")

    def generate(self, prompts, sampling):
        self.heard.until("the engine draws completions (Hanging")
        return []


def test_an_engine_that_hangs_is_named_with_its_rows(renderer):
    problems = [Tiles(rows=8, split="test").read()[row] for row in range(5)]
    with hearing(0.01) as heard:
        answerer = Answerer(
            Hanging(heard), renderer, Rubric({"accuracy": Accuracy()}, Observe(system_prompt=""), Verifier())
        )
        answerer.start(PolicySpec("observer:tiles"))
        answerer.sync(SimpleNamespace(weights=dict), 7)
        answerer.generate(problems, Sampling(group_size=4, max_tokens=8, step=7))
        heard.until("over after")
    [drawing, *_] = [line for line in heard.lines if "draws" in line]
    rows = ", ".join(repr(problem.id) for problem in problems[:3])
    assert f"(Hanging: 4 for each of 5 rows, {rows}, .., step 7)" in drawing


@pytest.mark.whole
def test_an_answer_whose_check_hangs_is_named_with_how_far_the_batch_is(verifier, tmp_path):
    go = tmp_path / "go"
    one = verifier(workers=1, seconds=600)
    one.verify_all(ask("7"))  # its process has started
    with hearing(0.01, then=lambda line: "1 of 2 by now" in line and go.touch()) as heard:
        one.verify_all(ask("7 at once", f"until {go}"))
    [line, *_] = [line for line in heard.lines if "1 of 2 by now" in line]
    assert "answers are checked (1 of 2 by now; next is the expression 'until /" in line
    assert line.endswith("for '7'; at most 600 s each, 120 s in all)")


def test_a_slow_disk_is_named_with_the_file_and_the_checkpoint_is_whole(tmp_path, monkeypatch):
    save = torch.save

    def late(*given):
        heard.until("a file is written (")
        save(*given)

    monkeypatch.setattr(torch, "save", late)
    with hearing(0.01) as heard:
        AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(2)}, tmp_path / "last.ckpt")
    assert any(f"a file is written ({tmp_path / 'last.ckpt'})" in line for line in heard.lines)
    assert torch.load(tmp_path / "last.ckpt")["weights"].tolist() == [1.0, 1.0]


def test_the_time_is_an_option_of_a_run_and_none_of_the_next(tmp_path, in_the_repository, capsys):
    words = ["fit", "--config", "configs/quickstart.yaml", "--run_dir", str(tmp_path / "run")]
    assert main([*words, "--waits.after", "0"]) == 2
    assert "waits.after is 0.0; it must be > 0, or null" in capsys.readouterr().err
    assert (WATCH.after, WATCH.folder) == (AFTER, None)
    assert not (tmp_path / "run").exists()
