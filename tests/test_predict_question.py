"""``observer predict --weights``: one question, any pictures, no configuration."""

import re
import shutil

import pytest

from observer.answering.format_record import FORMAT_FILE, format_text
from observer.cli import main
from observer.data import Tiles
from observer.release.question import problem_of, spoken
from observer.rewards import Free, Observe, Think
from observer.rollout import TransformersEngine
from observer.types import Completion, Sampling, Score, Verdict

ASKED = ("--weights", "observer:tiles", "--question", "How many?")


@pytest.fixture
def tile(tmp_path):
    """A picture of a tile problem as a file, and the problem."""
    problem = Tiles(rows=8, split="test").read()[3]
    problem.pictures[0].load().save(tmp_path / "tile.png")
    return str(tmp_path / "tile.png"), problem


def completed(text, finished=True):
    return Completion((1,), (0.0,), text, "stop" if finished else "length", 0)


def test_a_question_is_answered_as_the_policy_answers_it(
    tile, checkpoint, policy, renderer, tmp_path, capsys
):
    path, problem = tile
    folder = shutil.copytree(checkpoint, tmp_path / "export")
    (folder / FORMAT_FILE).write_text(format_text(Observe(system_prompt="")))
    words = ["--weights", str(folder), "--image", path, "--gold", problem.answer, "--max_tokens", "64"]
    assert main(["predict", *words, "--question", problem.question.removeprefix("<image>")]) == 0
    out = capsys.readouterr().out
    engine = TransformersEngine()
    engine.start(policy)
    [group] = engine.generate(renderer.render([problem]), Sampling(1, 64, temperature=0.0))
    said = group.completions[0].text
    for name in ("observe", "think", "answer"):
        block = re.search(f"<{name}>(.*?)</{name}>", said)[1].strip()
        assert f"{name}:\n  {block}\n" in out
    assert re.search(rf"^verdict: (correct|wrong), the gold answer is '{problem.answer}'", out, re.MULTILINE)


def test_several_pictures_and_no_gold_and_the_models_own_prompt(tile, capsys):
    words = ["--image", tile[0], "--image", tile[0], "--max_tokens", "4", "--response_format", "Free"]
    assert main(["predict", *ASKED, *words, "--response_format.system_prompt", ""]) == 0
    out = capsys.readouterr().out
    assert "response:" in out
    assert "cut off at --max_tokens 4" in out
    assert "verdict" not in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((*ASKED, "--config", "quickstart"), "--weights and --config are two ways to predict"),
        ((*ASKED, "--ckpt_path=best"), "--weights and --ckpt_path are two ways"),
        ((*ASKED, "--model.max_tokens", "8"), "--weights and --model.max_tokens are two ways"),
        (
            ("--question", "How many?", "--config", "quickstart"),
            "--question is of one question, which needs --weights",
        ),
        ((*ASKED, "--image", "nowhere.png"), "is no file; looked for"),
        ((*ASKED, "--image", "https://example.org/a.png"), "is a URL; only local files are opened"),
        ((*ASKED, "--image", "data:image/png;base64,AA"), "is a URL"),
        ((*ASKED, "--image", __file__), "is broken, cut off or none of PNG"),
        ((*ASKED, "--gold", ""), "answer"),
        ((*ASKED, "--kind", "integer"), "--kind is 'integer' without a --gold"),
        ((*ASKED[:3], "Is <image> it?"), "--question holds 1 <image> marks for 0 pictures"),
        ((*ASKED[:3], " "), "--question is empty"),
        ((*ASKED, "--temperature", "-1"), "--temperature is -1"),
        ((*ASKED, "--max_tokens", "0"), "--max_tokens is 0"),
        (("--weights", "runs/nowhere", "--question", "?"), "there is no such directory"),
        (("--weights", ".", "--question", "?"), "holds no config.json"),
        (("--weights", "observer:none", "--question", "?"), "observer:tiles"),
        ((*ASKED, "--engine", "None_such"), "TransformersEngine"),
    ],
)
def test_what_makes_no_sense_is_refused_before_weights_are_loaded(words, why, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("observer.policy.policy.load_model", lambda spec: pytest.fail("weights are loaded"))
    assert main(["predict", *words]) == 2
    assert why in capsys.readouterr().err


def test_the_directory_of_a_run_is_refused_with_its_export(tmp_path, capsys):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "config.json").write_text("{}")
    assert main(["predict", "--weights", str(tmp_path), "--question", "?"]) == 2
    assert f"is a run; name its model, {tmp_path / 'export'}" in capsys.readouterr().err


def lines(text, form, gold=None, finished=True):
    problem = problem_of("How many?", gold=gold)
    score = Score(Verdict.WRONG, "3 is not 4", form.read(text).answer, True)
    return list(spoken(problem, completed(text, finished), score, form, 9))


def test_a_response_is_shown_block_by_block():
    assert lines("<think>1\n2</think><answer>3</answer>", Think(), "4") == [
        *("think:", "  1", "  2", "answer:", "  3"),
        "verdict: wrong, the gold answer is '4' (3 is not 4)",
    ]
    assert lines(r"So \boxed{3}.", Free()) == ["response:", r"  So \boxed{3}.", "answer:", "  3"]
    assert lines("3", Observe())[-1].startswith("format: not kept, ")


def test_what_a_model_writes_moves_no_cursor():
    assert lines("\x1b[2Jred", Free())[1] == r"  \x1b[2Jred"
