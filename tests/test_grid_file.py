"""Grid files: what they say, and that each mistake in one is refused with its file, key, value and mend."""

import os
import re
import shlex
import subprocess

import pytest
import yaml

from observer.ablation.grid import read_grid
from observer.cli import main
from observer.run.files import write_json
from observer.types import RefusedError
from scoring import ROOT

AXES = {
    "bonus": {"off": {"model.rewards.bonus.weight": 0}, "on": {}},
    "weight": {"off": {"model.weighting": "Uniform"}, "on": {"model.weighting": "Quadratic"}},
    "order": {"off": {"curriculum.schedule": "Random"}, "on": {"curriculum.schedule": "Sorted"}},
}
USUAL = {
    "base": "quickstart",
    "seeds": [0, 1],
    "variants": {"grpo": {}, "uniform": {"model.weighting": "Uniform"}},
}


@pytest.fixture
def grid(tmp_path):
    """Reads a grid file with keys added to the usual ones; None leaves one out."""

    def read(text=None, **keys):
        content = {key: value for key, value in {**USUAL, **keys}.items() if value is not None}
        file = tmp_path / "some.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False) if text is None else text)
        return read_grid(file)

    return read


def test_runs_are_dealt_seed_by_seed_with_the_options_of_their_variant(grid, tmp_path):
    read = grid(common={"trainer.max_steps": 3})
    runs = read.runs(tmp_path / "out")
    assert [(run.variant, run.seed) for run in runs] == [
        ("grpo", 0),
        ("uniform", 0),
        ("grpo", 1),
        ("uniform", 1),
    ]
    words = ["fit", "--config", "quickstart", "--trainer.max_steps=3", "--model.weighting=Uniform"]
    assert runs[1].words == [*words, "--seed_everything=0", f"--run_dir={tmp_path}/out/uniform/seed-0"]
    assert runs[1].log == tmp_path / "out" / "logs" / "uniform-seed-0.log"
    assert str(read.runs()[0].folder) == "runs/some/grpo/seed-0"
    assert (read.name, read.baseline, read.margin, read.contrasts) == ("some", "grpo", 0.01, {})


def test_a_seed_may_have_a_start_of_its_own_and_values_may_name_seed_variant_and_environment(
    grid, monkeypatch
):
    monkeypatch.setenv("STARTS", "/warm")
    read = grid(
        seeds={3: {"model.policy.path": "${oc.env:STARTS}/${seed}"}, 4: {}},
        common={"completions.note": "${variant}", "data.seed": "${seed}", "x": r"\${seed_everything}"},
    )
    assert read.options("grpo", 3) == {
        "completions.note": "grpo",
        "data.seed": 3,
        "x": "${seed_everything}",
        "model.policy.path": "/warm/3",
    }
    assert "model.policy.path" not in read.options("grpo", 4)


def test_what_is_written_later_counts_and_comes_later(grid):
    variants = {"own": {"model.weighting": "Hard", "model.weighting.power": 2}}
    read = grid(common={"model.weighting.power": 1, "a": None}, variants=variants, seeds={0: {"a": [1]}})
    assert list(read.options("own", 0).items()) == [
        ("model.weighting", "Hard"),
        ("model.weighting.power", 2),
        ("a", [1]),
    ]
    assert read.run("own", 0, read.output).words[3:6] == [
        "--model.weighting=Hard",
        "--model.weighting.power=2",
        "--a=[1]",
    ]


def test_on_and_off_are_names_and_small_numbers_are_numbers(grid):
    read = grid("base: [quickstart]\nseeds: [0]\naxes: {rate: {off: {model.a: 1e-6}, on: {model.a: on}}}\n")
    assert read.axes == {"rate": {"off": {"model.a": 1e-6}, "on": {"model.a": "on"}}}
    assert list(read.variants) == ["none", "all"]
    assert read.baseline == "none"


def test_cells_come_from_the_axes_and_may_be_named(grid):
    read = grid(
        axes=AXES,
        names={"recipe": {"bonus": "on", "weight": "on", "order": "on"}, "plain": {}},
        exclude=[{"bonus": "on", "weight": "off"}],
        contrasts={"bonus": {"effect": "bonus"}, "rest": "recipe - plain", "own": {"recipe": 1, "grpo": -1}},
    )
    assert list(read.variants) == [
        "plain",
        "order",
        "weight",
        "no_bonus",
        "no_order",
        "recipe",
        "grpo",
        "uniform",
    ]
    assert read.variants["no_order"].cells == {"bonus": "on", "weight": "on", "order": "off"}
    assert read.contrasts == {
        "bonus": {"no_order": 0.5, "weight": -0.5, "recipe": 0.5, "no_bonus": -0.5},
        "rest": {"recipe": 1, "plain": -1},
        "own": {"recipe": 1, "grpo": -1},
    }


MISTAKES = {
    "unknown key": ({"seed": [1]}, r"seed is \[1\]; no key of a grid file is called 'seed'; near it: seeds"),
    "no base": ({"base": None}, "base is None; name a configuration"),
    "no seeds": ({"seeds": []}, r"seeds is \[\]; write a list, such as \[0, 1, 2, 3, 4\]"),
    "seeds as a count": ({"seeds": 5}, r"seeds is 5; write a list"),
    "seed below 0": ({"seeds": [0, -1]}, "seeds is -1; write numbers from 0 to 4294967295"),
    "seed twice": ({"seeds": [2, 1, 2]}, r"seeds is \[2, 1, 2\]; 2 is there twice"),
    "level that is no mapping": ({"axes": {"a": {"off": {}, "on": 3}}}, r"axes\.a\.on is 3; write a mapping"),
    "one level": ({"axes": {"a": {"off": {}}}}, r"axes\.a is \{'off': \{\}\}; write two levels or more"),
    "equal levels": ({"axes": {"a": {"off": {}, "on": {}}}}, "levels off and on are the same"),
    "variant that is no mapping": (
        {"variants": {"a": "Uniform"}},
        r"variants\.a is 'Uniform'; write a mapping",
    ),
    "equal variants": ({"variants": {"a": {}, "b": {}}}, r"variants\.b is \{\}; it is the same as a"),
    "same folder": ({"variants": {"a": {}, "A": {"x": 1}}}, "the folder a has this name already"),
    "folder of logs": ({"variants": {"logs": {}}}, "the folder logs has this name already"),
    "name of a path": ({"variants": {"../a": {}}}, "is '../a'; write a name of letters, digits"),
    "name of a cell": ({"axes": AXES, "variants": {"all": {"x": 1}}}, "a cell of the axes has this name"),
    "no option": ({"common": {"a b": 1}}, "common.a b is 1; 'a b' is no option; write one of observer fit"),
    "own option": ({"common": {"seed_everything": 1}}, "remove it: it is decided by seeds"),
    "own directory": ({"variants": {"a": {"run_dir": "x"}}}, r"variants\.a\.run_dir is 'x'; remove it"),
    "contrast of nobody": ({"contrasts": {"c": "grpo - unifrom"}}, "'unifrom'; near it: uniform"),
    "contrast with itself": ({"contrasts": {"c": "grpo - grpo"}}, "write two variants that differ"),
    "contrast without a minus": ({"contrasts": {"c": "grpo"}}, r"contrasts\.c is 'grpo'; write a - b"),
    "weights": ({"contrasts": {"c": {"grpo": 1, "uniform": -0.5}}}, "its weights sum to 0.5; write weights"),
    "zero weights": ({"contrasts": {"c": {"grpo": 0}}}, "its weights sum to 0; .* not all of them 0"),
    "weight of a word": (
        {"contrasts": {"c": {"grpo": "one"}}},
        r"contrasts\.c\.grpo is 'one'; write a number from -1 to 1",
    ),
    "weight in hundreds": (
        {"contrasts": {"c": {"grpo": 100, "uniform": -100}}},
        r"contrasts\.c\.grpo is 100; write a number from -1 to 1",
    ),
    "contrast again": (
        {"contrasts": {"c": "grpo - uniform", "d": {"uniform": 1, "grpo": -1}}},
        r"contrasts\.d is .* it is the same as c; remove one of them",
    ),
    "effect of a list": ({"contrasts": {"c": {"effect": ["a"]}}}, r"effect is \['a'\]; no axis is called"),
    "more cells than runs": (
        {"axes": {f"a{k}": {"off": {}, "on": {f"x{k}": 1}} for k in range(40)}},
        "design is 'full'; these axes have 1,099,511,627,776 cells, a grid at most 10,000",
    ),
    "more generators than are told apart": (
        {
            "axes": {f"a{k}": {"off": {}, "on": {f"x{k}": 1}} for k in range(40)},
            "design": {"fraction": {f"a{k}": "a0*a1" for k in range(4, 40)}},
        },
        "write at most 12 generators",
    ),
    "effect of nothing": ({"contrasts": {"c": {"effect": "bonsu"}}, "axes": AXES}, "'bonsu'; near it: bonus"),
    "effect with more": (
        {"contrasts": {"c": {"effect": "bonus", "lvl": 1}}, "axes": AXES},
        "no key is called 'lvl'; near it: level",
    ),
    "effect without pairs": (
        {"axes": AXES, "exclude": [{"bonus": "on"}], "contrasts": {"c": {"effect": "bonus"}}},
        "no two variants differ in bonus alone",
    ),
    "design": ({"axes": AXES, "design": "half"}, "design is 'half'; write full, leave_one_out, add_one_in"),
    "design of nothing": ({"design": "full"}, "there are no axes; write axes, or remove it"),
    "exclusion of nobody": ({"axes": AXES, "exclude": [{"bonus": "of"}]}, "no level of bonus is called 'of'"),
    "exclusion of nothing": (
        {"axes": AXES, "design": "add_one_in", "exclude": [{"bonus": "on", "weight": "on"}]},
        "no cell of the design is excluded by it",
    ),
    "name for no cell": (
        {"axes": AXES, "design": "add_one_in", "names": {"x": {"bonus": "on", "order": "on"}}},
        "the design has no such cell",
    ),
    "empty exclusion": ({"axes": AXES, "exclude": [{}]}, r"exclude\.0 is \{\}; no cell of the design"),
    "nothing to run": ({"variants": {}}, r"variants is \{\}; write at least one"),
    "baseline": ({"baseline": "gpro"}, "baseline is 'gpro'; no variant is called 'gpro'; near it: grpo"),
    "baseline of a list": ({"baseline": ["grpo"]}, r"baseline is \['grpo'\]; no variant is called"),
    "margin": ({"margin": 1}, "margin is 1; write an accuracy between 0 and 1"),
    "generator of nothing": (
        {"axes": AXES, "design": {"fraction": {"order": "bonus*wieght"}}},
        "no axis is called 'wieght'; near it: weight",
    ),
    "generator of two": (
        {"axes": AXES, "design": {"fraction": {"order": "bonus"}}},
        "a product of two or more",
    ),
    "exclusion of a fraction": (
        {"axes": AXES, "design": {"fraction": {"order": "bonus*weight"}}, "exclude": [{"bonus": "on"}]},
        "a fraction is balanced only as a whole",
    ),
    "interpolation": ({"common": {"x": "${sed}"}}, r"common\.x is '\$\{sed\}'; .*write \$\{seed\}"),
    "environment": ({"common": {"x": "${oc.env:NONESUCH_}"}}, "Environment variable 'NONESUCH_' not found"),
}


@pytest.mark.parametrize(("keys", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_with_file_key_value_and_mend(grid, tmp_path, keys, told):
    with pytest.raises(RefusedError, match=told) as refusal:
        grid(**keys)
    assert str(refusal.value).startswith(f"{tmp_path}/some.yaml: ")
    assert "\n" not in str(refusal.value)


TEXTS = {
    "key twice": ("base: a\nbase: b\n", "line 2: base is there twice"),
    "variant twice": ("variants:\n  a: {}\n  b: {}\n  a: {x: 1}\n", "line 4: a is there twice"),
    "no mapping": ("- a\n", "it holds list, not a mapping"),
    "no YAML": ("a: [", "it is no YAML"),
    "bomb": ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(6)
    ), "too long"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), TEXTS.values(), ids=TEXTS)
def test_a_file_that_is_no_grid_is_refused(grid, text, told):
    with pytest.raises(RefusedError, match=told):
        grid(text)


def test_a_shell_runs_the_commands_with_the_words_of_the_runs(grid, tmp_path, capsys):
    odd = {"plugins": ["my file.py", "it's.py"], "note": 'a $HOME `id` "q" \\ * ; & | > x  é '}
    bonus = {"model.rewards.bonus": {"class_path": "Bonus", "init_args": {"weight": 0.5}}, "y": "\\${z}"}
    read = grid(common=odd, variants={"a": {}, "b": bonus}, seeds=[0], contrasts={}, baseline="a")
    output = tmp_path / "out dir"
    assert main(["ablate", "plan", str(tmp_path / "some.yaml"), "--commands", "--output", str(output)]) == 0
    stand_in = tmp_path / "observer"
    stand_in.write_text("#!/bin/bash\nprintf '%s\\0' \"$@\"\n")
    stand_in.chmod(0o755)
    for line, run in zip(capsys.readouterr().out.splitlines(), read.runs(output), strict=True):
        path = f"{tmp_path}:{os.environ['PATH']}"
        got = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env={"PATH": path}).stdout
        assert got.decode().split("\0")[:-1] == run.words


def test_a_value_of_two_lines_is_no_command(grid, tmp_path, capsys):
    grid(common={"note": "one\ntwo"})
    assert main(["ablate", "plan", str(tmp_path / "some.yaml"), "--commands"]) == 2
    said = capsys.readouterr()
    assert (said.out, "seed 0 has '--note=one\\ntwo', with a line break" in said.err) == ("", True)


def test_commands_are_printed_as_a_shell_reads_them(grid, tmp_path, capsys):
    grid(common={"plugins": ["my file.py"], "model.kl": None}, seeds=[7])
    assert main(["ablate", "plan", str(tmp_path / "some.yaml"), "--commands"]) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] + line[4:6] for line in lines] == [
        ["observer", "fit", '--plugins=["my file.py"]', "--model.kl=null"]
    ] * 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("ablate", "observer ablate '' does not exist; there are plan, run"),
        ("ablate rnu g.yaml", "near it: run"),
        ("ablate plan", "required: grid"),
        ("ablate plan none.yaml", "none.yaml: there is no such file"),
        ("ablate run some.yaml --jobs 0", "--jobs is 0; it must be >= 1"),
        ("ablate run some.yaml --job 1", "Near --job: jobs"),
        ("ablate plan base.yaml", "base nonesuch: there is no such file"),
    ],
)
def test_command_lines_that_make_no_sense_are_refused(grid, tmp_path, monkeypatch, capsys, words, told):
    grid()
    text = (tmp_path / "some.yaml").read_text()
    (tmp_path / "base.yaml").write_text(text.replace("quickstart", "nonesuch"))
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def array_script():
    """The one of docs/ablation.md."""
    docs = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```bash\n(#!/bin/bash\n#SBATCH.*?)^```", docs, re.DOTALL | re.MULTILINE)
    return script


@pytest.mark.parametrize("code", [0, 1, 143])
def test_the_array_script_of_the_page_runs_the_line_of_its_task(grid, tmp_path, capsys, code):
    """With stand-ins for the programs of SLURM; see the page for what they do."""
    grid(common={"plugins": ["my file.py"]}, seeds=[7])
    assert main(["ablate", "plan", str(tmp_path / "some.yaml"), "--commands", "--output", "runs/a b"]) == 0
    (tmp_path / "commands.txt").write_text(capsys.readouterr().out)
    (tmp_path / "bin").mkdir()
    for name, text in {
        "srun": f"printf '%s|' \"$@\"\nexit {code}",
        "scontrol": 'echo "$@" > requeued',
    }.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    given = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}

    def submit():
        ran = subprocess.run(
            ["bash", "-c", array_script()], cwd=tmp_path, env=given, capture_output=True, text=True
        )
        return ran.returncode, ran.stdout

    words = [
        "observer",
        "fit",
        "--config",
        "quickstart",
        '--plugins=["my file.py"]',
        "--model.weighting=Uniform",
    ]
    words += ["--seed_everything=7", "--run_dir=runs/a b/uniform/seed-7"]
    assert submit() == (code, "|".join(words) + "|")
    requeued = tmp_path / "requeued"
    assert (requeued.read_text() if requeued.exists() else None) == ("requeue 5_2\n" if code == 143 else None)
    run = tmp_path / "runs" / "a b" / "uniform" / "seed-7"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    assert submit() == (code, "|".join([*words, "--ckpt_path", "last"]) + "|")
    write_json(run / "summary.json", {"status": "complete"})
    assert submit() == (0, "")
