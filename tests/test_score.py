"""`observer score`: completions of a file are worth what they would be in training; bad files are refused."""

import inspect
import json
import re
import shlex
import subprocess
import sys

import lightning
import pytest
import yaml

import runs
from observer.cli import main
from observer.cli.score import OPTIONS, read_job
from observer.learner import ObserveLearner
from observer.objective import Uniform
from observer.rollout import ScriptedEngine
from scoring import QUICK, REFERENCE, ROOT, read, response, row

pytestmark = pytest.mark.usefixtures("in_the_repository")


FIELDS = ["id", "index", "verdict", "reason", "extracted", "formatted", "length", "components", "reward"]
FIELDS += ["pass_rate", "weight", "advantage"]


# What it is worth


@pytest.mark.usefixtures("no_tokenizer")
def test_the_reference_recipe_gives_its_check_values(scored):
    half = [7, 7, 7, 7, 8, 8, 8, 8]
    lines = scored(
        row(*half, gold="$7$", id="150", lengths=[200, 150, 201, 202, 90, 90, 90, 90]),
        row(*half, gold="$7$", id="100", lengths=[100, 150, 150, 150, 90, 90, 90, 90]),
        words=REFERENCE,
    )
    other, best, wrong = 1.513, 2.15, -1.672
    assert [line["reward"] for line in lines[:8]] == pytest.approx([1.5, 1.7, 1.5, 1.5, *[0.5] * 4])
    expected = [other, best, other, other, wrong, wrong, wrong, wrong]
    assert [line["advantage"] for line in lines[:8]] == pytest.approx(expected, abs=6e-4)
    expected = [1.684] * 4 + [-1.684] * 4
    assert [line["advantage"] for line in lines[8:]] == pytest.approx(expected, abs=6e-4)


@pytest.mark.usefixtures("no_tokenizer")
def test_the_reference_recipe_weighs_0_to_8_of_8_right(scored):
    lines = scored(*(row(*[7] * k, *[8] * (8 - k)) for k in range(9)), words=REFERENCE)
    weights = [line["weight"] for line in lines[::8]]
    assert weights == pytest.approx([0, 0.7875, 1.35, 1.6875, 1.8, 1.6875, 1.35, 0.7875, 0], abs=1e-12)
    assert [line["pass_rate"] for line in lines[::8]] == [k / 8 for k in range(9)]
    assert [line["advantage"] for line in lines[:8] + lines[-8:]] == [0.0] * 16


def test_scoring_what_a_run_wrote_gives_what_the_run_computed(scored, tmp_path):
    learner = runs.learner(engine=ScriptedEngine(runs.MIXED))
    run = runs.trainer(tmp_path / "run", 1, enable_checkpointing=False)
    run.fit(learner, datamodule=runs.data_module(val=None))
    written = read(tmp_path / "run" / "completions.jsonl")
    groups = {}
    for line in written:
        groups.setdefault(line["id"], []).append(line)
    assert {line["finish_reason"] for line in written} == {"stop"}
    lines = scored(
        *(
            {
                "id": name,
                "question": group[0]["question"].replace("<image>", ""),
                "answer": group[0]["answer"],
                "completions": [line["text"] for line in group],
            }
            for name, group in groups.items()
        )
    )
    assert len(lines) == len(written) == 16
    assert len({line["advantage"] for line in lines}) > 3
    for line, trained in zip(lines, written, strict=True):
        assert line["length"] == trained["tokens"]
        for name in ("id", "index", "verdict", "reason", "extracted", "formatted"):
            assert line[name] == trained[name]
        for name in ("components", "reward", "pass_rate", "weight", "advantage"):
            assert line[name] == pytest.approx(trained[name], abs=1e-6)


def test_a_line_a_completion_in_order_with_every_field(scored):
    lines = scored(row(7, "seven?", id="a"), row("B", gold="B", id="b"), row(1, 2, 3, id="c"))
    assert [(line["id"], line["index"]) for line in lines] == [
        *(("a", 0), ("a", 1), ("b", 0), ("c", 0), ("c", 1), ("c", 2))
    ]
    assert all(list(line) == FIELDS for line in lines)
    assert lines[0]["verdict"] == "correct"
    assert lines[0]["components"] == {"accuracy": 1.0, "format": 1.0, "bonus": 1.0}
    assert (lines[1]["verdict"], lines[1]["extracted"]) == ("wrong", "seven?")
    assert "seven?" in lines[1]["reason"]


def test_a_completion_without_an_answer_says_why(scored):
    (line,) = scored(row(7, completions=["It is 7."]))
    assert (line["verdict"], line["extracted"], line["formatted"]) == ("wrong", None, False)
    assert line["reason"] == "<observe> is missing"


def test_a_completion_alone_has_nothing_to_be_compared_with(scored):
    lines = scored(row(7), row(8), words=REFERENCE)
    assert [line["advantage"] for line in lines] == [None, None]
    assert [line["pass_rate"] for line in lines] == [1.0, 0.0]


def test_advantages_are_cut_to_the_limit(scored):
    lines = scored(row(7, 8, 8, 8), words=[*QUICK, "--model.advantage_clip", "0.5"])
    assert [line["advantage"] for line in lines] == [0.5, -0.5, -0.5, -0.5]


def test_expressions_are_verified(scored):
    lines = scored(row("(x+1)^2", "x^2", gold="x^2+2x+1", kind="expression"))
    assert [line["verdict"] for line in lines] == ["correct", "wrong"]


def test_the_size_of_a_batch_changes_nothing(scored, monkeypatch):
    rows = [row(*([7] * (k % 4)), *([8] * (1 + k % 3)), id=f"r{k}") for k in range(24)]
    whole = scored(*rows)
    monkeypatch.setattr("observer.score.file.BATCH", 1)
    assert scored(*rows) == whole


# Lengths


def test_tokens_are_counted_with_the_tokenizer_of_the_configuration(scored, processor):
    texts = [response(7), "It is 7.", ""]
    lines = scored({"question": "What?", "answer": "7", "completions": texts})
    expected = [len(processor.tokenizer(text).input_ids) + 1 for text in texts]  # and the end token
    assert [line["length"] for line in lines] == expected


@pytest.mark.usefixtures("no_tokenizer")
def test_no_tokenizer_is_loaded_where_lengths_are_given(scored):
    assert [line["length"] for line in scored(row(7, 8, lengths=[5, 0]))] == [5, 0]


def test_some_rows_with_and_some_without_lengths(scored):
    without = {"question": "What?", "answer": "7", "completions": [response(7), response(8)]}
    lines = scored(row(7, 8, lengths=[5, 6]), without, row(7, lengths=[9]))
    assert [line["length"] for line in lines[:2] + lines[4:]] == [5, 6, 9]
    assert lines[2]["length"] > 9


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "no model.policy.path names a tokenizer"),
        (["--model.policy.path", "./nowhere"], "holds no config.json"),
    ],
)
def test_a_tokenizer_that_is_needed_and_cannot_be_loaded_is_refused(refused, words, expected):
    message = refused(row(7), {"question": "q", "answer": "7", "completions": ["x"], "id": "me"}, words=words)
    assert expected in message
    assert "rows.jsonl:2: row 'me' has no lengths" in message
    assert "give `lengths` in every row" in message


# What is read of the configuration


def test_the_defaults_are_those_of_the_learner(tmp_path):
    job = read_job(ObserveLearner, ["--input", "a", "--output", "b"])
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(ObserveLearner).parameters.items()
    }
    assert defaults.keys() >= OPTIONS
    recipe = job.recipe
    assert recipe.rubric.rewards == defaults["rewards"]
    assert recipe.rubric.response_format == defaults["response_format"]
    assert recipe.rubric.verifier.limits == defaults["verifier"]
    assert recipe.advantage == defaults["advantage"]
    assert recipe.combine == defaults["combine"]
    assert recipe.weighting == defaults["weighting"]
    assert (defaults["advantage_clip"], recipe.advantage_clip) == (None, float("inf"))
    assert (recipe.policy, job.audit) == (None, False)


def test_the_learner_of_a_configuration_gives_the_defaults():
    class Mine(ObserveLearner):
        def __init__(self, weighting=Uniform(), zeal: int = 1, **options):
            super().__init__(weighting=weighting, **options)

    given = ["--input", "a", "--output", "b"]
    assert read_job(Mine, given).recipe.weighting == Uniform()
    assert read_job(lightning.LightningModule, given).recipe.weighting != Uniform()


def test_sections_and_options_that_scoring_does_not_need_are_left_alone(scored, tmp_path):
    config = {
        "run_dir": 3,
        "model": {
            "policy": {"path": "./nowhere", "no_such_option": 1},
            "kl": "NoSuchTerm",
            "engine": {"class_path": "no.such.Engine"},
            "weighting": "Uniform",
        },
        "data": {"train": {"class_path": "NoSuchFormat"}},
        "trainer": None,
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    lines = scored(row(7, 8), words=["--config", str(tmp_path / "mine.yaml")])
    assert [line["weight"] for line in lines] == [1.0, 1.0]


def test_the_saved_configuration_of_a_run_scores_as_the_one_it_was_started_with(scored, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["fit", *REFERENCE, "--print_config"])
    (tmp_path / "config.yaml").write_text(capsys.readouterr().out)
    rows = [row(7, 7, 8, lengths=[150, 130, 90]), row(8, 7)]
    assert scored(*rows, words=["--config", str(tmp_path / "config.yaml")]) == scored(*rows, words=REFERENCE)


def test_options_and_later_configurations_override(scored, tmp_path):
    (tmp_path / "more.yaml").write_text("model: {rewards: {only: Accuracy}, advantage: GroupMean}")
    words = [*QUICK, f"--config={tmp_path / 'more.yaml'}", "--model.weighting", "Uniform"]
    lines = scored(row(7, 8), words=[*words, "--model.rewards.only.weight", "3"])
    assert [line["components"] for line in lines] == [{"only": 1.0}, {"only": 0.0}]
    assert [line["advantage"] for line in lines] == [1.5, -1.5]
    (line, _) = scored(row(7, 8), words=["--model.rewards.format.weight", "0"])
    assert line["reward"] == 1.0


def test_strategies_of_ones_own_are_taken_from_plugins(scored, tmp_path):
    plugin = tmp_path / "strategies_to_score_with.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from observer.rewards import Reward\n"
        "@dataclass(frozen=True)\n"
        "class Tagged(Reward):\n"
        "    weight: float = 2.0\n"
        "    def __call__(self, group, scores, step):\n"
        "        return [float(group.problem.metadata['tag'])] * len(scores)\n"
    )
    config = f"plugins: ['{plugin}']\nmodel: {{rewards: {{tagged: Tagged}}}}"
    (tmp_path / "mine.yaml").write_text(config)
    lines = scored(row(7, 8, tag=4), words=["--config", str(tmp_path / "mine.yaml")])
    assert [(line["components"], line["reward"]) for line in lines] == [({"tagged": 4.0}, 8.0)] * 2


@pytest.mark.parametrize(
    ("config", "words", "expected"),
    [
        ("model: {wieghting: Uniform}", [], ["wieghting"]),
        ("model: {weighting: Quadratik}", [], ["Quadratik", "Known by name", "Uniform"]),
        ("model: {rewards: {a: {class_path: Bonus, init_args: {tokens: 3}}}}", [], ["tokens"]),
        ("model: {rewards: {}}", [], ["rewards: the mapping is empty"]),
        ("model: {advantage_clip: -1}", [], ["model.advantage_clip is -1.0; it must be > 0"]),
        ("model: {verifier: {seconds: 0}}", [], ["seconds is 0"]),
        ("model: model.yaml", [], ["model is 'model.yaml'", "as a mapping"]),
        ("model: {}", ["--model.weighting.sigma", "-1"], ["sigma is -1.0"]),
        ("model: {}", ["--model.loss", "PPOClip"], ["model.loss"]),
        ("model: {}", ["--audits"], ["audits"]),
    ],
)
def test_wrong_options_are_refused(refused, tmp_path, config, words, expected):
    (tmp_path / "mine.yaml").write_text(config)
    message = refused(row(7), words=["--config", str(tmp_path / "mine.yaml"), *words])
    for part in expected:
        assert part in message


# Examples and speed


def test_the_example_of_the_readme_gives_what_one_expects(tmp_path, monkeypatch, capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (rows,) = re.findall(r"^```jsonl\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (line,) = [line for line in readme.splitlines() if line.startswith(".venv/bin/observer score")]
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    words = shlex.split(line)[1:]
    words[words.index("--config") + 1] = str(ROOT / "configs" / "quickstart.yaml")
    monkeypatch.chdir(tmp_path)
    words += ["--model.policy.path", runs.CHECKPOINT]
    assert main(words) == 0
    lines = read(tmp_path / "scored.jsonl")
    assert [(line["id"], line["verdict"]) for line in lines] == [
        *(("sum", "correct"), ("sum", "wrong"), ("sum", "wrong")),
        *(("share", "wrong"), ("share", "correct")),
    ]
    assert [line["formatted"] for line in lines] == [True, True, False, True, True]
    assert "what was scored" in capsys.readouterr().out


def test_help_names_what_scoring_reads(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["score", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--input", "--output", "--audit", "--model.policy.path", "--plugins", *sorted(OPTIONS)):
        assert option in text
    assert "--model.loss" not in text


def many(path, rows):
    """A file of rows of 8 completions with answers of several kinds."""
    answers = ["17", "3.14", "1/4", "B. square"]
    with path.open("w") as file:
        for place in range(rows):
            gold = answers[place % 4]
            mixed = [gold if place * 7 % (i + 2) else str(i) for i in range(8)]
            content = row(*mixed, gold=gold, id=f"r{place}")
            content["completions"] = [
                text.replace("it shows", "we see that it holds " * 30) for text in content["completions"]
            ]
            del content["lengths"]
            file.write(json.dumps(content) + "\n")
    return path


@pytest.mark.slow
def test_10_000_completions_take_under_a_minute_and_100_000_no_more_memory(tmp_path):
    script = (
        "import resource, sys; from observer.cli import main; assert main(sys.argv[1:]) == 0; "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "print(used.ru_maxrss // 1024, used.ru_utime + used.ru_stime)"
    )
    peaks = []
    for rows, limit in ((1250, 40), (12500, 120)):
        words = ["score", *QUICK, "--input", str(many(tmp_path / f"{rows}.jsonl", rows))]
        words += ["--output", str(tmp_path / f"{rows}.out.jsonl"), "--audit"]
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
        )
        assert len(read(tmp_path / f"{rows}.out.jsonl")) == 8 * rows
        peak, seconds = map(float, done.stdout.splitlines()[-1].split())
        assert seconds < limit  # of the processor, its imports included: others may be using the machine
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 60
