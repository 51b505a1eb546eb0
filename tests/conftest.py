"""What tests share: the shipped tiny model, its processor, and factories of problems with random pictures.

What is heavy is imported by the fixtures that need it: the process that hands out tests to others runs none.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: no test may reach the network

import gc
import io
import json
import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import observer
import stand_in
from kept_rows import ROWS, row
from observer.cli import main
from observer.types import Completion, Group, Picture, Problem, Sampling, Turn
from observer.verifier import Limits, Verifier
from observer.verifier import verifier as verifier_module
from processes import interruptible
from scoring import QUICK, ROOT, read, write
from written_rows import written

CHECKPOINT = Path(observer.__file__).parent / "data/tiles/checkpoint"

collect_ignore = ["example_package"]  # what it offers must not be known before it is installed


logging.getLogger().addHandler(logging.NullHandler())  # or Lightning keeps what it says from ``caplog``
gc.disable()  # nothing that is imported or collected goes away


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


class _Log(logging.StreamHandler):
    @property
    def text(self):
        return self.stream.getvalue()


@pytest.fixture
def caplog():
    """What a test logs from level INFO on, as ``text``. Pytest's own fixture listens to all tests."""
    logger, log = logging.getLogger(), _Log(io.StringIO())
    level = logger.level
    logger.addHandler(log)
    logger.setLevel("INFO")
    yield log
    logger.setLevel(level)
    logger.removeHandler(log)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_printed_configurations():
    """Transformers prints each configuration for a log that nobody reads: most of the time of loading one."""
    from transformers import PreTrainedConfig

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreTrainedConfig, "__repr__", object.__repr__)
        yield


@pytest.fixture(scope="session", autouse=True)
def _signals():
    with interruptible():
        yield


@pytest.fixture(scope="session", autouse=True)
def _cache():
    """Neither tests nor the processes that they start touch the user's own folder of checked rows."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OBSERVER_CACHE", folder)
        yield


@pytest.fixture(scope="session")
def checkpoint():
    """The folder of the shipped tiny model."""
    return CHECKPOINT


@pytest.fixture(scope="session")
def processor():
    """The shipped processor; tests must not change it."""
    from observer.policy import PolicySpec, load_processor

    return load_processor(PolicySpec(path=str(CHECKPOINT)))


@pytest.fixture(scope="session")
def fresh_policy(processor):
    """Factory of policies of one's own: the shipped weights in float32, or what the PolicySpec fields say."""

    from observer.policy import Policy, PolicySpec

    def make(**fields):
        return Policy(PolicySpec(**{"path": str(CHECKPOINT), **fields}), processor)

    return make


@pytest.fixture(scope="session")
def policy(fresh_policy):
    """The shipped policy; tests must not change it (take a ``fresh_policy()`` for that)."""
    return fresh_policy()


@pytest.fixture(scope="session")
def renderer(processor):
    """Renders for the shipped model, without a system prompt."""
    from observer.rollout import PromptRenderer

    return PromptRenderer(processor, system_prompt="", max_tokens=1024)


@pytest.fixture(scope="session")
def picture():
    """Factory of pictures with random pixels: ``picture(width, height, seed)``."""

    def make(width=84, height=84, seed=0):
        def load():
            pixels = np.random.default_rng((seed, width, height)).integers(
                0, 256, (height, width, 3), np.uint8
            )
            return Image.fromarray(pixels)

        return Picture(name=f"noise-{width}x{height}-{seed}", size=lambda: (height, width), load=load)

    return make


@pytest.fixture(scope="session")
def problem():
    """Factory of problems with one user turn: ``problem("What?", [picture()], "7", id="a")``.

    Marks are put in front of a text that has none.
    """

    def make(text="What is the sum of the red tiles?", pictures=(), answer="7", **fields):
        if "<image>" not in text:
            text = "<image>" * len(pictures) + text
        usual = {"id": "a", "row": 0, "kind": "integer", "turns": (Turn("user", text),)}
        return Problem(**{**usual, **fields}, answer=answer, pictures=tuple(pictures))

    return make


@pytest.fixture(scope="session")
def prompts(renderer, picture, problem):
    """Prompts of unequal length: the tiles the model knows, noise, several pictures, none."""
    from observer.data import Tiles

    tiles = Tiles(rows=64).read()
    problems = [
        tiles[0],
        problem("What is 3 + 4?", id="text"),
        tiles[7],
        problem("Is <image> larger than <image>?", [picture(84, 56, 1), picture(28, 112, 2)], id="two"),
        problem("What is the sum of the red tiles?", [picture(140, 84, 3)], id="noise"),
    ]
    return renderer.render(problems)


@pytest.fixture(scope="session")
def groups_of(renderer, picture, problem):
    """Factory of groups whose completions are made up of random tokens; the odd ones are finished."""
    import torch

    from cases import END

    def make(case, sampling=None, seed=0):
        generator = torch.Generator().manual_seed(seed)
        problems = [
            problem(text, [picture(*size, seed=row) for size in sizes], id=f"p{row}")
            for row, (text, sizes, _) in enumerate(case)
        ]
        groups = []
        for prompt, (_, _, lengths) in zip(renderer.render(problems), case, strict=True):
            completions = []
            for index, length in enumerate(lengths):
                ids = torch.randint(7, 329, (length,), generator=generator).tolist()
                if index % 2 == 1:
                    ids[-1] = END
                finish = "stop" if index % 2 == 1 else "length"
                completions.append(Completion(tuple(ids), (0.0,) * length, "", finish, index))
            groups.append(Group(prompt, tuple(completions), sampling or Sampling()))
        return groups

    return make


@pytest.fixture
def folder(tmp_path):
    """A data folder with two pictures, 20 x 30 and 40 x 50 (height x width)."""
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")
    Image.new("RGB", (50, 40), "blue").save(tmp_path / "b.png")
    return tmp_path


@pytest.fixture
def train(tmp_path):
    """Where a file of rows is to be written, beside the pictures of ``folder``."""
    return tmp_path / "train.jsonl"


@pytest.fixture
def verifier(monkeypatch):
    """Factory of verifiers whose isolated checker does what it is told; the fields are those of Limits."""
    made = []

    def make(program=stand_in.PROGRAM, **limits):
        monkeypatch.setattr(verifier_module, "PROGRAM", program)
        made.append(Verifier(Limits(**{"workers": 2, **limits})))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def in_the_repository(monkeypatch):
    """Configurations name their files from there."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def scored(tmp_path, in_the_repository):
    """Score rows; return the lines that come out."""

    def score(*rows, words=QUICK):
        (tmp_path / "out").mkdir(exist_ok=True)
        output = tmp_path / "out" / f"{len(list((tmp_path / 'out').iterdir()))}.jsonl"
        file = write(tmp_path / "rows.jsonl", *rows)
        assert main(["score", *words, "--input", str(file), "--output", str(output)]) == 0
        return read(output)

    return score


@pytest.fixture
def refused(tmp_path, capfd, in_the_repository):
    """Score what must be refused; return the message. Nothing may be left behind."""

    def score(*rows, words=QUICK, text=None):
        file = write(tmp_path / "rows.jsonl", *rows)
        if text is not None:
            file.write_bytes(text)
        words = ["score", *words, "--input", str(file), "--output", str(tmp_path / "scored.jsonl")]
        assert main(words) == 2
        assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".py", ".yaml")] == [
            "rows.jsonl"
        ]
        return " ".join(capfd.readouterr().err.split())

    return score


@pytest.fixture
def no_tokenizer(monkeypatch):
    """No tokenizer may be loaded for scoring."""

    def refuse(spec):
        raise AssertionError(f"the processor of {spec.path} was asked for")

    monkeypatch.setattr("observer.policy.load_processor", refuse)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A cache of the test's own that keeps small files too, in batches that are cut more than once."""
    monkeypatch.setenv("OBSERVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("observer.data.checks.file_cache.LEAST_ROWS", 10)
    monkeypatch.setattr("observer.data.checks.file_cache.STORED_ROWS", 8)
    monkeypatch.setattr("observer.data.formats.row_file.BATCH_ROWS", 5)


@pytest.fixture
def passes(monkeypatch):
    """Counts how often rows are parsed and checked."""
    from observer.data import Jsonl

    made = []
    check = Jsonl._check

    def counted(self):
        made.append(self.path)
        return check(self)

    monkeypatch.setattr("observer.data.formats.row_file.RowFile._check", counted)
    return made


@pytest.fixture
def file(folder, train):
    """Rows with all that a row may have."""
    return written(train, *map(row, range(ROWS)))


@pytest.fixture
def ladder_file(tmp_path):
    """Factory of JSONL files of our format: hardest row first, every second one with a picture."""
    from admitting import ROWS as FEW_ROWS

    Image.new("RGB", (84, 56), "red").save(tmp_path / "a.png")

    def write(name="train.jsonl", count=FEW_ROWS, **changed):
        lines = []
        for number in range(count):
            record = {"id": f"r{number}", "question": "How many?", "answer": str(number), "level": number % 3}
            record |= {"difficulty": 1 - number / 16, "complexity": 10 * number}
            record |= {"images": ["a.png"]} if number % 2 else {}
            lines.append(json.dumps(record | changed.get(f"r{number}", {})))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return str(tmp_path / name)

    return write


@pytest.fixture(scope="session")
def vllm_engine(checkpoint):
    """The one vLLM engine of this process, with the shipped weights; a test syncs it before it draws."""
    from observer.policy import PolicySpec
    from observer.rollout import VLLM

    engine = VLLM()
    engine.longest = 1024
    engine.start(PolicySpec(str(checkpoint)))
    return engine
