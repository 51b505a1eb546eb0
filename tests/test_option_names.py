"""Options by their full names in every command; those that have another name here say which."""

import re

import pytest
import yaml

from observer.cli import main
from observer.cli.app import fit_options
from observer.types import RefusedError

ABBREVIATED = {
    "fit": (["fit", "--config", "quickstart", "--model.group_si", "5"], "model.group_size"),
    "fit, two at once": (["fit", "--config", "quickstart", "--run_di=x", "--see", "3"], "run_dir"),
    "fit, a strategy's": (["fit", "--config", "quickstart", "--model.weighting.sigm", "2"], "sigma"),
    "fit, an optimizer's": (
        ["fit", "--config", "quickstart", "--model.optimizer.weight_dec", "2"],
        "weight_decay",
    ),
    "validate": (["validate", "--config", "quickstart", "--ckpt", "best"], "ckpt_path"),
    "test": (["test", "--config", "quickstart", "--trainer.limit_test", "2"], "trainer.limit_test_batches"),
    "predict": (["predict", "--config", "quickstart", "--sampl", "2", "--output", "y"], "samples"),
    "score": (["score", "--config", "quickstart", "--input", "x", "--outp", "y"], "output"),
    "score, a flag": (["score", "--input", "x", "--output", "y", "--aud"], "audit"),
    "preview": (["curriculum", "preview", "--config", "quickstart", "--step", "3"], "steps"),
    "estimates": (["curriculum", "estimates", "--run_di", "3"], "run_dir"),
    "list": (["list", "weighting", "--markd"], "markdown"),
    "ablate plan": (["ablate", "plan", "grid.yaml", "--comm"], "commands"),
    "ablate run": (["ablate", "run", "grid.yaml", "--job", "2"], "jobs"),
    "ablate report": (["ablate", "report", "grid.yaml", "--outp", "y"], "output"),
    "ladder build": (["ladder", "build", "--config", "ladder", "--lim", "8"], "limit"),
    "ladder merge": (["ladder", "merge", "--config", "ladder", "--outp", "y"], "output"),
    "ladder inspect": (["ladder", "inspect", "--outp", "y"], "output"),
    "ladder review": (["ladder", "review", "--outp", "y"], "output"),
    "ladder learned": (["ladder", "learned", "--run_di", "x"], "run_dir"),
    "ladder export": (["ladder", "export", "--to", "trl", "--outp", "y"], "output"),
    "evaluate": (["evaluate", "--config", "eval", "--outp", "y"], "output"),
    "compare": (["compare", "a", "b", "--outp", "y"], "output"),
    "doctor": (["doctor", "--config", "quickstart", "--outp", "y"], "output"),
    "browse": (["browse", "runs/some", "--outp", "y"], "output"),
    "export": (["export", "--run_di", "x", "--output", "y"], "run_dir"),
}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def refusal(capfd, words):
    assert main(words) == 2
    told = capfd.readouterr().err
    assert told.startswith("observer: refused: ")
    return told


@pytest.mark.parametrize("name", ABBREVIATED)
def test_an_abbreviated_option_is_refused_with_the_full_name(name, capfd, tmp_path):
    words, full = ABBREVIATED[name]
    told = refusal(capfd, words)
    near = [line for line in told.splitlines() if line.strip().startswith("Near --")]
    assert any(full in line for line in near)
    assert not list(tmp_path.iterdir())


def test_every_command_has_its_abbreviations_tested():
    from observer.cli.app import HELP

    commands = {line.split("   ")[0].strip() for line in HELP.splitlines() if line.startswith("  ")}
    two = ("curriculum", "ablate", "ladder")  # whose commands have two words
    tested = {" ".join(words[: 1 + (words[0] in two)]) for words, _ in ABBREVIATED.values()}
    assert commands <= tested


def test_of_an_option_that_is_given_twice_the_last_counts(capfd):
    with pytest.raises(SystemExit):
        main(
            [
                "fit",
                "--config",
                "quickstart",
                "--model.group_size=5",
                "--model.group_size",
                "6",
                "--print_config",
            ]
        )
    assert yaml.safe_load(capfd.readouterr().out)["model"]["group_size"] == 6


ELSEWHERE = {
    "optimizer": ("AdamW", "write model.optimizer"),
    "optimizer.lr": ("0.1", "write model.optimizer"),
    "lr_scheduler": ("CosineAnnealingLR", "write model.learning_rate"),
    "trainer.default_root_dir": ("x", "write run_dir"),
    "model.seed": ("3", "write seed_everything"),
    "data.seed": ("3", "write seed_everything"),
}


@pytest.mark.parametrize("option", ELSEWHERE)
def test_an_option_with_another_name_is_refused_in_one_line_on_the_command_line_and_in_files(
    option, capfd, tmp_path
):
    value, instead = ELSEWHERE[option]
    section, _, key = option.partition(".")
    (tmp_path / "nested.yaml").write_text(yaml.safe_dump({section: {key: value} if key else value}))
    (tmp_path / "dotted.yaml").write_text(yaml.safe_dump({option: value}))
    for words in ([f"--{option}", value], ["--config", "nested.yaml"], ["--config", "dotted.yaml"]):
        told = refusal(capfd, ["fit", "--config", "quickstart", *words])
        assert option.removesuffix(".lr") in told
        assert instead in told
        assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Adm", "model.optimizer is 'Adm': no class of this name is known; near it: Adam"),
        (
            "torch.optim.Adm",
            "model.optimizer is 'torch.optim.Adm': module 'torch.optim' has no attribute 'Adm'; near",
        ),
        ("mine.Opt", "model.optimizer is 'mine.Opt': No module named 'mine'; start with PYTHONPATH"),
        (
            "torch.nn.Linear",
            "model.optimizer is 'torch.nn.Linear': Expected 'torch.nn.Linear' to be a subclass",
        ),
    ],
)
def test_an_optimizer_that_is_not_there_is_refused_in_one_line(value, expected, capfd, tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"model": {"optimizer": {"class_path": value}}}))
    for words in (["--model.optimizer", value], ["--config", "a.yaml"]):
        told = refusal(capfd, ["fit", "--config", "quickstart", *words])
        assert expected in told
        assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "near"), [("trainer.logger", "WandbLogger"), ("trainer.callbacks", "EarlyStopping")]
)
def test_other_classes_that_are_not_there_are_refused_alike(option, near, capfd):
    told = refusal(
        capfd, ["fit", "--config", "quickstart", f"--{option}", near.removesuffix("r").replace("pp", "p")]
    )
    assert f"near it: {near}" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        (
            "correction",
            "atuo",
            "is 'atuo': no class of this name is known; near it: auto; write auto, null, or the import path",
        ),
        ("correction", "Corection", "near it: Correction; write auto, null, or"),
        ("correction", "nul", "near it: null; write auto, null, or"),
        ("kl", "nul", "Known by name for model.kl: K1, K2, K3, null"),
        ("engine", "nul", "VLLM, null (see"),
    ],
)
def test_a_word_that_stands_for_a_class_is_offered_as_classes_are(option, value, expected):
    with pytest.raises(RefusedError, match=re.escape(expected)):
        fit_options(["fit", "--config", "quickstart", f"--model.{option}", value])
