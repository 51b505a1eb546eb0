r"""``${..}`` in files and on the command line: what is written last is seen, nothing stays literal."""

import re
from pathlib import Path

import pytest
import yaml
from jsonargparse import get_loader

from observer.cli import main
from observer.cli.app import run_defaults
from observer.cli.configuration.interpolation import Settled, UnresolvedError, escaped
from observer.cli.configuration.written import parts
from observer.cli.configuration.yaml_text import as_text, in_place_of, replaced_file
from observer.cli.early import prepared
from observer.learner import ObserveLearner
from observer.types import RefusedError

BASE = {"model": {"policy": {"path": "observer:tiles"}}, "data": {"train": "Tiles"}}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("WHO", "SIZE", "NOBODY"):
        monkeypatch.delenv(name, raising=False)


def file_of(tmp_path, text, name="mine.yaml"):
    (tmp_path / name).write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return str(tmp_path / name)


def printed(capsys, *words, command="fit"):
    with pytest.raises(SystemExit) as stop:
        main([command, *words, "--print_config"])
    assert stop.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def refusal(capfd, *words, command=("fit",)):
    assert main([*command, *words]) == 2
    return capfd.readouterr().err


@pytest.fixture(scope="module")
def defaults():
    found = run_defaults(ObserveLearner)
    return lambda learner: found


@pytest.fixture
def seen(defaults):
    """The ``run_dir`` that the parser is given, by the last word or file that holds one."""

    def run_dir(*words):
        _, words = prepared(["fit", *words], defaults)
        found = None
        for part in parts(words):
            if part.name == "config":
                text = part.value if replaced_file(part.value) else Path(part.value).read_text()
                found = get_loader("yaml")(text).get("run_dir", found)
            found = part.value if part.name == "run_dir" else found
        return found

    return run_dir


def test_values_are_resolved_in_every_section_and_keep_their_types(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SIZE", "6")
    config = file_of(
        tmp_path,
        r"""
run_dir: runs/${oc.env:WHO,nobody}/${seed_everything}-${model.group_size}
seed_everything: 3
model:
  policy: {path: "observer:tiles"}
  group_size: ${oc.env:SIZE}
  max_tokens: ${trainer.max_steps}
  rewards: {accuracy: {class_path: Accuracy, init_args: {weight: "${oc.decode:'0.5'}"}}}
  weighting: {class_path: "${oc.env:WHO,Quadratic}", init_args: {sigma: "${..W}"}}
  optimizer: {class_path: torch.optim.AdamW, init_args: {lr: "${oc.env:RATE,1e-4}"}}
data: {train: {class_path: Tiles, init_args: {rows: "${model.max_tokens}"}}}
trainer:
  max_steps: 64
  callbacks: [{class_path: EarlyStopping, init_args: {monitor: "a-${seed_everything}"}}]
""".replace("${..W}", "${model.rewards.accuracy.init_args.weight}"),
    )
    found = printed(capsys, "--config", config)
    assert found["run_dir"] == "runs/nobody/3-6"
    model = found["model"]
    assert (model["group_size"], model["max_tokens"]) == (6, 64)
    assert model["rewards"]["accuracy"]["init_args"]["weight"] == 0.5
    assert model["weighting"]["init_args"]["sigma"] == 0.5
    assert model["optimizer"]["init_args"]["lr"] == 1e-4
    assert found["data"]["train"]["init_args"]["rows"] == 64
    assert found["trainer"]["callbacks"][0]["init_args"]["monitor"] == "a-3"


def test_what_is_written_last_is_what_is_seen(tmp_path, seen):
    first = {"run_dir": "runs/${seed_everything}-${model.group_size}-${model.kl.init_args.coefficient}"}
    first |= BASE | {"model": BASE["model"] | {"kl": {"class_path": "K1", "init_args": {"coefficient": 0.5}}}}
    words = ["--config", file_of(tmp_path, first)]
    later = file_of(tmp_path, {"seed_everything": 4, "model": {"group_size": 6}}, "later.yaml")
    assert seen(*words) == "runs/0-8-0.5", "options that nobody wrote have their defaults"
    assert seen(*words, "--config", later) == "runs/4-6-0.5"
    assert seen(*words, "--config", later, "--seed_everything=9") == "runs/9-6-0.5"
    assert seen(*words, "--seed_everything", "9", "--config", later) == "runs/4-6-0.5"
    assert seen(*words, "--model.kl", "K3", "--model.kl.coefficient", "0.1") == "runs/0-8-0.1"
    assert seen(*words, "--run_dir", "x/${model.max_tokens}", "--model.max_tokens", "32") == "x/32"
    assert seen(*words, "--run_dir", "${oc.env:NOBODY}", "--run_dir", "plain") == "plain"


@pytest.mark.parametrize("command", ["fit", "test"])
def test_the_parser_sees_what_was_written_last(command, tmp_path, capsys):
    first = file_of(tmp_path, BASE | {"run_dir": "r/${seed_everything}-${model.kl.init_args.coefficient}"})
    words = ["--config", first, "--seed_everything", "9", "--model.kl", "K3"]
    words += ["--model.kl.coefficient", "${oc.env:NOBODY,0.1}"]
    found = printed(capsys, *words, command=command)
    assert found["run_dir"] == "r/9-0.1"
    assert found["model"]["kl"] == {
        "class_path": "observer.objective.K3",
        "init_args": {"coefficient": 0.1, "apply_to": "loss"},
    }


def test_a_value_that_is_overridden_need_not_be_resolvable(tmp_path, seen):
    first = file_of(tmp_path, BASE | {"run_dir": "${oc.env:NOBODY}"})
    assert seen("--config", first, "--run_dir", "mine") == "mine"
    second = file_of(tmp_path, {"run_dir": "second"}, "second.yaml")
    assert seen("--config", first, "--config", second) == "second"


def test_a_later_file_replaces_a_mapping_of_rewards_and_adds_to_a_section(tmp_path, seen, capfd):
    bonus = {"class_path": "Bonus", "init_args": {"weight": 0.3}}
    one = {"accuracy": {"class_path": "Accuracy"}, "bonus": bonus}
    first = file_of(tmp_path, BASE | {"model": BASE["model"] | {"rewards": one, "max_tokens": 9}})
    later = {"model": {"rewards": {"accuracy": "Accuracy"}}, "run_dir": "r${model.max_tokens}"}
    words = ["--config", first, "--config", file_of(tmp_path, later, "later.yaml")]
    assert seen(*words) == "r9"
    told = refusal(capfd, *words, "--run_dir", "r${model.rewards.bonus.init_args.weight}")
    assert "no option is called model.rewards.bonus" in told


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("${nobody}", "no option is called nobody"),
        ("${model.group_siz}", "near it: model.group_size"),
        ("runs/${oc.env:NOBODY}", "the environment has no NOBODY; set it, or write ${oc.env:NOBODY,VALUE}"),
        ("${run_dir}", "leads to itself"),
        ("${learner}${run_dir}", "leads to itself"),
        ("${mine:1}", "no resolver is called mine"),
        ("${oc.eval:1+1}", "no resolver is called oc.eval"),
        ("${", r"write \${ for a literal"),
        ("cost: ${5", r"write \${ for a literal"),
        ("x${model}", "a section of options"),
        ("x${model.engine}", "${model.engine} is null"),
        ("${seed_everything[0]}", "seed_everything"),
    ],
)
def test_what_cannot_be_resolved_is_refused_by_option_and_file(value, why, tmp_path, defaults):
    file = file_of(tmp_path, BASE | {"run_dir": value})
    given = [(["--config", file], f"--config {file}"), (["--run_dir", value], "the command line")]
    for words, place in given:
        with pytest.raises(RefusedError) as refused:
            prepared(["fit", *words], defaults)
        told = str(refused.value)
        assert told.startswith(f"{place}: run_dir is {value!r}: ")
        assert why in told


@pytest.mark.parametrize("value", ["${nobody}", "${model}"])
def test_a_refused_value_makes_no_folder(value, tmp_path, capfd):
    for words in (["--run_dir", value], ["--config", file_of(tmp_path, {"run_dir": value})]):
        assert "run_dir" in refusal(capfd, "--config", "quickstart", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize("command", [["score", "--input", "x", "--output", "y"], ["curriculum", "preview"]])
def test_other_commands_refuse_it_too(command, tmp_path, capfd):
    file = file_of(tmp_path, BASE | {"run_dir": "${nobody}"})
    told = refusal(capfd, "--config", file, command=command)
    assert f"--config {file}: run_dir is '${{nobody}}': no option is called nobody" in told


def test_a_mapping_on_the_command_line_is_resolved_in_commands_that_read_a_part_of_it(tmp_path, capfd):
    rows = "{class_path: Tiles, init_args: {rows: '${data.prompts_per_step}'}}"
    words = ["--config", "quickstart", "--data.train", rows, "--curriculum.schedule", "Sorted"]
    assert main(["curriculum", "preview", *words, "--steps", "2", "--output", str(tmp_path / "a.png")]) == 0
    rewards = "{accuracy: {class_path: Accuracy, init_args: {weight: '${model.policy.path}'}}}"
    words = ["--config", "quickstart", "--model.rewards", rewards, "--input", "x", "--output", "y"]
    assert "Got value: observer:tiles" in refusal(capfd, *words, command=["score"])


def test_plugins_and_the_learner_are_resolved_before_they_are_imported(tmp_path, capsys, monkeypatch):
    (tmp_path / "plugin_of_mine.py").write_text(
        "from dataclasses import dataclass\nfrom observer.objective import Weighting\n"
        "@dataclass(frozen=True)\nclass Interpolated(Weighting):\n"
        '    """f(p) = 1."""\n    def __call__(self, batch):\n        return batch.pass_rates_P**0\n'
    )
    monkeypatch.setenv("WHO", str(tmp_path))
    options = BASE | {
        "plugins": ["${oc.env:WHO}/plugin_of_mine.py"],
        "learner": "observer.learner.${run_dir}",
    }
    options |= {"run_dir": "ObserveLearner", "model": BASE["model"] | {"weighting": "Interpolated"}}
    found = printed(capsys, "--config", file_of(tmp_path, options))
    assert found["learner"] == "observer.learner.ObserveLearner"
    assert found["plugins"] == [f"{tmp_path}/plugin_of_mine.py"]
    assert found["model"]["weighting"]["class_path"].endswith("Interpolated")


PROMPTS = [
    r"$\{x\}$ and \frac{1}{2}, {question} {{answer}}",
    "$$ $5 $ {x} $(y) %{z}",
    "literal ${x} and ${oc.env:HOME}",
    r"\${x} \\${y} ${",
    "a: [b], 'c' \"d\" # e 😀 \x7f \u2028 1e-6",
]


def test_prompts_survive_escapes_and_what_is_printed_is_read_again(tmp_path, capsys):
    prompt = "\n".join(PROMPTS)
    written = {"class_path": "Observe", "init_args": {"system_prompt": escaped(prompt)}}
    options = BASE | {"run_dir": "r${seed_everything}", "model": BASE["model"] | {"response_format": written}}
    found = printed(capsys, "--config", file_of(tmp_path, options))
    assert found["model"]["response_format"]["init_args"]["system_prompt"] == escaped(prompt)
    again = printed(capsys, "--config", file_of(tmp_path, found, "again.yaml"))
    assert again == found


def test_without_an_interpolation_no_file_is_touched_and_omegaconf_is_not_asked(tmp_path, defaults):
    prompt = {"class_path": "Observe", "init_args": {"system_prompt": r"$\{x\}$ \\ {q} $$ $5"}}
    words = ["fit", "--config", file_of(tmp_path, {"model": {"response_format": prompt}}), "--run_dir", "$5"]
    assert prepared(words, defaults)[1] == words


@pytest.mark.parametrize(
    "text", [*PROMPTS, "1e-6", "null", "1", "~", "2026-01-01", "", " ", "- x", "=", "<<"]
)
def test_a_text_is_handed_to_the_parser_as_the_same_text(text):
    assert get_loader("yaml")(as_text({"p": [text]})) == {"p": [text]}
    assert get_loader("yaml")(in_place_of(text, {"p": text, "q": 1e-6})) == {"p": text, "q": 1e-6}
    assert replaced_file(in_place_of(text, {})) == text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({f"a{n}": f"${{a{n - 1}}}" * 10 for n in range(1, 30)} | {"a0": "x" * 10}, "too large"),
        ({f"b{n}": [f"${{b{n - 1}}}"] * 10 for n in range(1, 9)} | {"b0": ["x"] * 10}, "too large"),
        ({f"c{n}": {"c": f"${{c{n - 1}}}"} for n in range(1, 100)} | {"c0": "x"}, "too large"),
        ({f"d{n}": "${e}" for n in range(501)} | {"e": 1}, "501 values hold ${..}"),
        ({"e": "${f}" * 2000, "f": "x" * 1000}, "would be too long"),
    ],
    ids=["texts", "lists", "depth", "many", "one"],
)
def test_values_that_multiply_or_nest_are_refused_before_they_are_built(options, why):
    with pytest.raises(RefusedError, match=re.escape(why)):
        Settled(options)


def test_no_value_is_more_than_ten_others_away():
    chain = {f"a{n}": f"${{a{n + 1}}}" for n in range(30)} | {"a30": 5}
    settled = Settled(chain)
    assert settled.resolve(("a25",), chain["a25"]) == 5
    with pytest.raises(UnresolvedError, match="over more than 10 others"):
        settled.resolve(("a0",), chain["a0"])


def test_sections_of_other_files_and_dotted_names_are_resolved_as_well(tmp_path, capsys):
    (tmp_path / "below").mkdir()
    file_of(tmp_path / "below", "max_tokens: ${model.group_size}\npolicy: policy.yaml\n", "model.yaml")
    file_of(tmp_path / "below", "path: observer:tiles\n", "policy.yaml")
    config = file_of(tmp_path / "below", "model: model.yaml\nmodel.group_size: 5\ndata: {train: Tiles}\n")
    found = printed(capsys, "--config", config)
    assert (found["model"]["max_tokens"], found["model"]["group_size"]) == (5, 5)
    assert found["model"]["policy"]["path"] == "observer:tiles"


def test_a_dotted_name_beside_its_section_is_not_lost(tmp_path, capsys):
    config = file_of(
        tmp_path, "model.group_size: 5\nmodel: {max_tokens: 9, policy: {path: 'observer:tiles'}}\n"
    )
    found = printed(capsys, "--config", config)
    assert (found["model"]["group_size"], found["model"]["max_tokens"]) == (5, 9)


def test_a_file_of_a_single_option_may_not_hold_an_interpolation(tmp_path, capfd):
    file = file_of(tmp_path, "{class_path: Quadratic, init_args: {sigma: '${seed_everything}'}}", "one.yaml")
    config = file_of(tmp_path, BASE | {"model": BASE["model"] | {"weighting": "one.yaml"}})
    for words in (["--config", config], ["--config", "quickstart", "--model.weighting", file]):
        told = refusal(capfd, *words)
        assert "one.yaml: it holds ${..}" in told


def test_a_value_that_refers_to_one_that_fails_names_it():
    told = str(Settled({"a": "x${b}", "b": "${c}", "c": "${nobody}"}).failed["a",])
    assert told.startswith("b is '${c}': c is '${nobody}': no option is called nobody")
