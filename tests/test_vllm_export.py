"""A run's export in vLLM and in transformers as it is, each by its own code: the same prompts and answers."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from observer.answering.format_record import recorded_format
from observer.cli import main
from observer.data import Tiles
from scoring import ROOT

pytestmark = pytest.mark.vllm
ASKED, SYSTEM = (0, 3, 5), "Count the tiles."


@pytest.fixture
def export(tmp_path, in_the_repository):
    """That of one step, with a system prompt of its own."""
    words = ["--data.prompts_per_step", "4", "--data.val", "null", "--data.test", "null"]
    words += ["--model.response_format.system_prompt", SYSTEM, "--trainer.max_steps", "1"]
    assert main(["fit", "--config", "quickstart", *words, "--run_dir", str(tmp_path / "run")]) == 0
    return tmp_path / "run" / "export"


def by_transformers(folder, asked):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    for system, question, path in asked:
        content = [{"type": "image", "image": Image.open(path)}, {"type": "text", "text": question}]
        first = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
        inputs = processor.apply_chat_template(
            [*first, {"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        [prompt] = inputs["input_ids"].tolist()
        [said] = model.generate(**inputs, max_new_tokens=64, do_sample=False).tolist()
        yield [prompt, said[len(prompt) :]]


def test_an_export_is_loaded_as_it_is_and_answers_as_in_transformers(export, tmp_path):
    from transformers import AutoTokenizer

    assert (export / "README.md").read_text().startswith("---\n")
    form, rows, asked = recorded_format(export), Tiles(rows=8, split="test").read(), []
    for row in ASKED:
        path = tmp_path / f"{row}.png"
        rows[row].pictures[0].load().save(path)
        question = rows[row].question.removeprefix("<image>")
        asked += [[form.prompt, question, str(path)], ["", question, str(path)]]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    script = [sys.executable, str(ROOT / "tests" / "helpers" / "vllm_plain.py"), str(export)]
    done = subprocess.run(
        [*script, str(tmp_path / "asked.json"), str(tmp_path / "found.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == list(by_transformers(export, asked))
    tokenizer = AutoTokenizer.from_pretrained(export)
    for (system, *_), (prompt, said) in zip(asked, found, strict=True):
        assert (SYSTEM in tokenizer.decode(prompt)) == bool(system)
        # The tiny model was trained without a system prompt.
        assert system or form.read(tokenizer.decode(said, skip_special_tokens=True)).formatted
