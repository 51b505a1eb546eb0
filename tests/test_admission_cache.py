"""Rows that were checked in the same way before are not looked at again."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from kept_rows import ROWS, entries
from observer.data import Jsonl, LadderDataModule
from observer.data import module as data_module
from observer.data.checks.admission import refused_rows
from observer.data.checks.admission_cache import OUTCOMES, AdmissionCache
from observer.policy import PolicySpec, load_processor
from observer.rollout import PromptRenderer
from observer.types import NotNowError, RefusedError
from observer.verifier import Limits, Verifier

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def looked(monkeypatch):
    """Counts how often rows are checked before training."""
    made = []

    def counted(rows, *rest):
        made.append(len(rows))
        return refused_rows(rows, *rest)

    monkeypatch.setattr(data_module, "refused_rows", counted)
    return made


def admitted(tmp_path, file, renderer, verifier=None, **options):
    module = LadderDataModule(train=Jsonl(file, **options), prompts_per_step=2)
    module.setup("fit")
    module.admit(renderer, verifier or Verifier(), tmp_path)
    return module


def test_rows_are_checked_once(file, renderer, tmp_path, looked, processor):
    modules = [admitted(tmp_path, file, renderer) for _ in range(2)]
    modules.append(admitted(tmp_path, file, PromptRenderer(processor, system_prompt="", max_tokens=1024)))
    assert looked == [ROWS]
    assert len({module.index.digest for module in modules}) == 1


def test_another_prompt_or_limit_is_looked_at_anew_and_both_are_known(
    file, processor, tmp_path, looked, checkpoint
):
    def checks():
        smaller = load_processor(PolicySpec(path=str(checkpoint), max_pixels=14112))
        other = load_processor(PolicySpec(path=str(checkpoint)))
        other.chat_template += " "
        yield PromptRenderer(processor, system_prompt="", max_tokens=1024), None
        yield PromptRenderer(processor, system_prompt="Be brief.", max_tokens=1024), None
        yield PromptRenderer(processor, system_prompt="", max_tokens=1023), None
        yield PromptRenderer(processor, system_prompt="", max_tokens=1024), Verifier(Limits(seconds=4))
        yield PromptRenderer(smaller, system_prompt="", max_tokens=1024), None
        yield PromptRenderer(other, system_prompt="", max_tokens=1024), None

    for renderer, verifier in [*checks(), *checks()]:
        admitted(tmp_path, file, renderer, verifier)
    assert looked == [ROWS] * 6


def test_rows_that_changed_are_looked_at_anew(folder, file, renderer, tmp_path, looked):
    admitted(tmp_path, file, renderer)
    Image.new("RGB", (60, 60), "red").save(folder / "a.png")
    admitted(tmp_path, file, renderer)
    assert len(looked) == 2


def test_refused_rows_are_refused_again_and_skipped_ones_skipped_again(file, processor, tmp_path, looked):
    tight = PromptRenderer(processor, system_prompt="", max_tokens=30)
    messages = set()
    for _ in range(2):
        with pytest.raises(RefusedError) as caught:
            admitted(tmp_path, file, tight)
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert "more than max_prompt_tokens 30" in messages.pop()
    modules = [admitted(tmp_path, file, tight, on_bad_row="skip") for _ in range(2)]
    first, again = ([problem.id for problem in module.rows["train"]] for module in modules)
    assert 0 < len(again) < ROWS
    assert first == again
    assert modules[0].rows["train"].skipped == modules[1].rows["train"].skipped
    assert looked == [ROWS] * 2
    modules[1].admit(tight, Verifier(), tmp_path)  # as a test after a fit does
    modules[1].admit(tight, Verifier(), tmp_path)
    assert looked == [ROWS] * 2 + [len(again)]


def test_an_answer_that_could_not_be_checked_in_time_is_not_held_against_its_row(file, renderer):
    rows = Jsonl(file).read()
    outcome = AdmissionCache(rows, renderer, Verifier())
    outcome.keep([(3, NotNowError("too slow"))])
    assert outcome.find() is None
    outcome.keep([(3, RefusedError("no answer"))])
    ((row, error),) = outcome.find()
    assert (row, str(error)) == (3, "no answer")


def test_a_damaged_outcome_is_looked_at_anew(file, renderer, tmp_path, looked):
    admitted(tmp_path, file, renderer)
    (entry,) = entries(tmp_path, "admission")
    entry.write_bytes(entry.read_bytes().replace(b"[]", b"[[0"))
    admitted(tmp_path, file, renderer)
    admitted(tmp_path, file, renderer)
    assert looked == [ROWS] * 2


def test_the_latest_outcomes_are_kept(file, processor, tmp_path):
    rows = Jsonl(file).read()
    outcomes = [
        AdmissionCache(rows, PromptRenderer(processor, "", 100 + number), Verifier())
        for number in range(OUTCOMES + 2)
    ]
    for outcome in outcomes:
        outcome.keep([])
    assert [outcome.find() for outcome in outcomes] == [None] * 2 + [[]] * OUTCOMES
    assert len(entries(tmp_path, "admission")) == 1


def test_ranks_look_together_when_one_of_them_does_not_know(file, renderer, tmp_path, looked):
    admitted(tmp_path, file, renderer)

    def with_another(knows):
        module = LadderDataModule(train=Jsonl(file), prompts_per_step=2)

        def broadcast(mine, src):
            return mine if src == 0 or not isinstance(mine, bool) else knows

        module.trainer = SimpleNamespace(
            global_rank=0, world_size=2, strategy=SimpleNamespace(broadcast=broadcast)
        )
        module.setup("fit")
        module.admit(renderer, Verifier(), tmp_path)

    with_another(True)
    assert looked == [ROWS]
    with_another(False)
    assert looked == [ROWS] * 2


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [0, 1000])
def test_a_million_rows_are_opened_again_in_seconds(tmp_path, pictures):
    script = ROOT / "experiments" / "curriculum" / "opening.py"
    words = ["--pictures", str(pictures), "--folder", str(tmp_path), "--trust_admission"]
    ran = subprocess.run([sys.executable, script, *words], text=True, capture_output=True, check=True)
    *_, again = (line.strip("| ").split(" | ") for line in ran.stdout.splitlines())
    assert again[:3] == ["1,000,000", f"{pictures:,}", "again"]
    assert float(again[6]) < 15
    assert max(map(float, again[7:])) < 500
