"""Configurations that are nested deep, multiply by aliases, or are none: refused by name, and never built."""

import json
import re

import pytest

from observer.cli import main

DEEP = 100_000
NINE = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
)
HOSTILE = {
    "lists": ("a: " + "[" * DEEP, "nested more than 50 deep"),
    "mappings": ("a: " + "{a: " * DEEP, "nested more than 50 deep"),
    "blocks": ("a:\n" + "- " * DEEP, "nested more than 50 deep"),
    "keys": ("? " * DEEP, "nested more than 50 deep"),
    "a text": (f"model: {{rewards: '{'[' * DEEP}'}}", "nested more than 50 deep"),
    "aliases": (NINE, "line 5: it is too long"),
    "merged keys": (
        "a0: &a0 {x: 1}\n" + "\n".join(f"a{n}: &a{n} {{b: *a{n - 1}, c: *a{n - 1}}}" for n in range(1, 40)),
        "too long",
    ),
    "an alias of itself": ("a: &a [*a]", "*a stands for no value"),
    "wide": (f"a: [{'1, ' * 30_000}]", "too long"),
    "large": ("# " + "x" * 2**20, "1,048,578 bytes"),
    "no mapping": ("- 1", "holds list"),
    "a NUL": ('run_dir: "a\\0b"', "holds a NUL"),
    "no text": (b"\xff\xfe\x00", "no YAML"),
    "a number of many digits": ("a: " + "9" * 10_000, "no YAML"),
}
COMMANDS = {
    "fit": ["fit"],
    "score": ["score", "--input", "rows.jsonl", "--output", "out.jsonl"],
    "preview": ["curriculum", "preview"],
}


def refused(capfd, *words):
    assert main(words) == 2
    message = capfd.readouterr().err
    assert message.startswith("observer: refused: ")
    named = re.sub("Known by name.*", "", message)  # those of all tests that ran before
    assert len(named) < 600
    return message


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_configuration_is_refused_by_name(name, command, tmp_path, capfd):
    content, why = HOSTILE[name]
    file = tmp_path / "hostile.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(capfd, *COMMANDS[command], "--config", str(file))
    assert str(file) in message
    assert why in message


@pytest.mark.parametrize("name", ["lists", "aliases", "no text"])
def test_a_configuration_that_another_names_is_refused_by_its_name(name, tmp_path, capfd):
    content, why = HOSTILE[name]
    (tmp_path / "inner.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "outer.yaml").write_text(f"model:\n  rewards: {tmp_path / 'inner.yaml'}\n")
    for words in (["--config", str(tmp_path / "outer.yaml")], [f"--model.rewards={tmp_path / 'inner.yaml'}"]):
        message = refused(capfd, "fit", *words)
        assert "inner.yaml" in message
        assert why in message


@pytest.mark.parametrize("depth", [100, DEEP])
def test_json_that_is_nested_deep_is_refused_by_name(depth, tmp_path, capfd):
    (tmp_path / "deep.json").write_text("[" * depth + "]" * depth)
    message = refused(capfd, "fit", "--model.rewards", str(tmp_path / "deep.json"))
    assert "deep.json is nested more than 50 deep" in message


def test_an_option_that_is_nested_deep_is_refused(capfd):
    assert "nested more than 50 deep" in refused(capfd, "fit", "--model.rewards", "[" * DEEP)
    assert "nested more than 50 deep" in refused(capfd, "fit", "--model.rewards=" + "[" * DEEP)


def test_the_estimates_of_a_run_whose_configuration_is_hostile_are_refused_by_its_name(tmp_path, capfd):
    (tmp_path / "config.yaml").write_text(NINE)
    assert str(tmp_path / "config.yaml") in refused(
        capfd, "curriculum", "estimates", "--run_dir", str(tmp_path)
    )


@pytest.mark.parametrize("section", ["curriculum: 3", "trainer: []", "model: 3"])
def test_a_section_that_is_no_mapping_is_refused(section, tmp_path, capfd):
    (tmp_path / "odd.yaml").write_text(f"data: {{train: Tiles}}\n{section}\n")
    name = section.partition(":")[0]
    for command in COMMANDS.values() if name == "model" else [COMMANDS["preview"]]:
        assert name in refused(capfd, *command, "--config", str(tmp_path / "odd.yaml"))


def test_aliases_and_long_texts_that_do_no_harm_are_read(tmp_path, capfd):
    file = tmp_path / "good.yaml"
    prompt = "Answer with *care*: [think] {first}, & say why. " * 20
    file.write_text(
        f"seed_everything: &seed 3\nmodel:\n  policy: {{path: x}}\n  max_tokens: 64\n"
        f"  response_format: {{class_path: Observe, init_args: {{system_prompt: {json.dumps(prompt)}}}}}\n"
        f"trainer: {{max_steps: *seed}}\n"
    )
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(file), "--print_config"])
    assert stop.value.code == 0
    assert "max_steps: 3" in capfd.readouterr().out
