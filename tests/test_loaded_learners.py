"""A checkpoint gives a learner that answers as the run did, without a trainer; a hostile one gives none."""

import copy
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import runs
from mutations import mutated
from observer.callbacks import checkpoint_callbacks
from observer.cli import main
from observer.data import Tiles
from observer.learner import ObserveLearner, WarmStart, held_out_sampling
from observer.learner.rebuilding import restored_options, saved_options
from observer.policy import Lora, PolicySpec
from observer.rewards import Accuracy, Observe, Think, TrlReward
from observer.rollout import ScriptedEngine
from observer.types import RefusedError
from scoring import ROOT

ADAPTERS = PolicySpec(runs.CHECKPOINT, lora=Lora(4, 8))


class Mine(ObserveLearner):
    """A learner with an option of its own."""

    def __init__(self, *arguments, extra=0.0, **options):
        super().__init__(*arguments, **options)
        self.extra = extra


def problems(rows=8):
    return list(Tiles(rows=8, split="test").read())[:rows]


def told(scored):
    return [
        (completion.ids, completion.text, score.verdict, score.reward)
        for group, scores in zip(scored.groups, scored.scores, strict=True)
        for completion, score in zip(group.completions, scores, strict=True)
    ]


def fitted(folder, learner):
    trainer = runs.trainer(folder, 2, callbacks=checkpoint_callbacks(folder, 1, validates=False))
    trainer.fit(learner, datamodule=runs.data_module(val=None, test=None, prompts_per_step=2))
    return learner, folder / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module", params=["all weights", "adapters"])
def trained(request, tmp_path_factory):
    """A learner after two steps with large ones, and its checkpoint."""
    spec = ADAPTERS if request.param == "adapters" else PolicySpec(runs.CHECKPOINT)
    options = {"policy": spec, "rewards": {"right": Accuracy(0.5)}, "max_tokens": 24}
    options |= {"optimizer": large, "entropy_bonus": 1.0}  # has a gradient whatever is drawn
    return fitted(tmp_path_factory.mktemp("run"), runs.learner(Mine, extra=2.0, group_size=4, **options))


def large(parameters):
    return torch.optim.AdamW(parameters, lr=0.02)


@pytest.fixture(scope="module")
def held(trained):
    return torch.load(trained[1], weights_only=True)


def test_it_answers_as_the_run_did_without_a_trainer(trained):
    learner, path = trained
    loaded = Mine.load_from_checkpoint(path)
    assert (loaded.extra, loaded.sampling, loaded.spec) == (2.0, learner.sampling, learner.spec)
    assert loaded.answerer.rubric == learner.answerer.rubric
    answers = told(loaded.answer(problems()))
    assert answers == told(learner.answer(problems()))
    assert answers != told(Mine(**learner.given).answer(problems()))
    sampling = held_out_sampling(learner.sampling, samples=3, temperature=1.0)
    assert told(loaded.answer(problems(2), sampling)) == told(learner.answer(problems(2), sampling))
    assert loaded.attached is None


def test_given_options_take_the_place_of_those_it_was_trained_with(trained):
    _, path = trained
    loaded = Mine.load_from_checkpoint(
        str(path), engine=ScriptedEngine(["one two"]), max_tokens=1, response_format=Think(system_prompt="")
    )
    [group] = loaded.answer(problems(1)).groups
    assert len(group.completions[0].ids) == 1
    assert isinstance(loaded.answerer.rubric.response_format, Think)
    usual = {"map_location": "cpu", "strict": True, "weights_only": True}
    assert Mine.load_from_checkpoint(path, extra=5, **usual).extra == 5


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_token": 9}, "has no option max_token; its options are .*max_tokens"),
        ({"max_tokens": 0}, "model.max_tokens is 0"),
        ({"strict": False}, "strict False.*leave them out"),
        ({"weights_only": False}, "no pickled object is read"),
        ({"hparams_file": "hparams.yaml"}, "hparams.yaml.*its options are in it"),
        ({"policy": PolicySpec(runs.CHECKPOINT, lora=Lora(2, 8))}, "another model"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(trained, options, why):
    with pytest.raises(RefusedError, match=why) as error:
        Mine.load_from_checkpoint(trained[1], **options)
    assert "\n" not in str(error.value)


def test_another_class_or_no_file_is_refused(trained, tmp_path):
    with pytest.raises(RefusedError, match=r"of the learner .*Mine, and WarmStart is another"):
        WarmStart.load_from_checkpoint(trained[1])
    with pytest.raises(RefusedError, match=r"there is no file .*none.ckpt"):
        ObserveLearner.load_from_checkpoint(tmp_path / "none.ckpt")
    (tmp_path / "cut.ckpt").write_bytes(trained[1].read_bytes()[:-1000])
    with pytest.raises(RefusedError, match=r"cut.ckpt cannot be restored"):
        Mine.load_from_checkpoint(tmp_path / "cut.ckpt")
    with pytest.raises(TypeError, match="cannot be called on an instance"):
        trained[0].load_from_checkpoint(trained[1])


def test_to_train_it_needs_an_optimizer(trained, tmp_path):
    data = runs.data_module(val=None, test=None, prompts_per_step=2)
    with pytest.raises(RefusedError, match=r"give one: load_from_checkpoint\(path, optimizer=...\)"):
        runs.trainer(tmp_path, 1).fit(Mine.load_from_checkpoint(trained[1]), datamodule=data)
    learner = Mine.load_from_checkpoint(trained[1], optimizer=large)
    runs.trainer(tmp_path / "on", 1).fit(learner, datamodule=data)
    assert learner.data.step == 1


ARGUMENTS = ("learner", "options", "rewards", "right")
HOSTILE = {
    "a strategy that nobody knows": ((*ARGUMENTS, "class_path"), "os.system"),
    "a function to run": (ARGUMENTS, {"class_path": "TrlReward", "init_args": {"function": "os:system"}}),
    "a server to ask": (
        ARGUMENTS,
        {"class_path": "Judge", "init_args": {"url": "http://x/v1", "model": "m"}},
    ),
    "a strategy of another family": ((*ARGUMENTS, "class_path"), "Observe"),
    "a class below a strategy": ((*ARGUMENTS, "init_args", "weight"), {"class_path": "os.system"}),
    "a weight of text": ((*ARGUMENTS, "init_args", "weight"), "much"),
    "a limit of text": (("learner", "options", "max_tokens"), "many"),
    "an option that does not exist": (("learner", "options", "run"), "os.system"),
    "options that are a list": (("learner", "options"), [1]),
    "no class": (("learner", "class"), ...),
    "a learner that is a text": (("learner",), "x"),
    "weights that are not finite": (("state_dict",), {"policy.x": torch.tensor([torch.nan])}),
    "no policy": (("policy",), ...),
    "a recipe that is a list": (("recipe",), [1]),
}
"""An entry, and what stands in its place."""


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_checkpoint_is_refused_in_one_line_and_runs_nothing(held, tmp_path, kind):
    path = tmp_path / "changed.ckpt"
    torch.save(mutated(held, *HOSTILE[kind]), path)
    with pytest.raises(RefusedError) as error:
        Mine.load_from_checkpoint(path)
    assert len(str(error.value)) < 1000, str(error.value)


def test_rewards_that_run_a_function_are_given_by_name_once_more(tmp_path, monkeypatch):
    (tmp_path / "brief.py").write_text(
        "def brief(completions, **rest):\n    return [1.0 for _ in completions]\n"
    )
    rewards = {"brief": TrlReward(f"{tmp_path / 'brief.py'}:brief")}
    engine = ScriptedEngine(runs.MIXED)
    _, path = fitted(tmp_path / "run", runs.learner(rewards=rewards, engine=engine))
    with pytest.raises(RefusedError, match=r"TrlReward, which runs code .*rewards=..."):
        ObserveLearner.load_from_checkpoint(path)
    loaded = ObserveLearner.load_from_checkpoint(path, rewards=rewards)
    assert [score.reward for [score] in loaded.answer(problems(1)).scores] == [1.0]


@dataclass(frozen=True)
class Local(Observe):
    """A format of one's own."""


def test_strategies_of_ones_own_come_back_by_name(tmp_path):
    spec = runs.learner(WarmStart, response_format=Local(system_prompt="Look."))
    entry = {"policy": {"path": runs.CHECKPOINT, "lora": None}, "recipe": {}}
    entry["learner"] = saved_options(WarmStart, spec.given)
    options = restored_options(WarmStart, entry, {"policy": spec.spec}, "x.ckpt")
    assert options["response_format"] == Local(system_prompt="Look.")


def test_a_checkpoint_of_an_earlier_version_says_what_it_lacks(trained, held, tmp_path):
    path = tmp_path / "old.ckpt"
    torch.save(mutated(held, ("learner",), ...), path)
    rubric = trained[0].answerer.rubric
    given = {"response_format": rubric.response_format, "rewards": rubric.rewards}
    with pytest.warns(UserWarning, match="earlier version, which holds the policy, the seed and the limits"):
        loaded = Mine.load_from_checkpoint(path, max_prompt_tokens=64, **given)
    assert told(loaded.answer(problems(4))) == told(trained[0].answer(problems(4)))


@pytest.mark.filterwarnings("ignore:a checkpoint of an earlier version")
def test_a_checkpoint_of_an_earlier_version_is_not_judged_by_defaults(held, tmp_path):
    path = tmp_path / "old.ckpt"
    torch.save(mutated(held, ("learner",), ...), path)
    with pytest.raises(RefusedError, match=r"trained with the response_format Observe\(.*give it"):
        Mine.load_from_checkpoint(path)


@pytest.mark.parametrize("spec", [PolicySpec(runs.CHECKPOINT), ADAPTERS], ids=["all weights", "adapters"])
@pytest.mark.parametrize("again", [copy.deepcopy, lambda learner: pickle.loads(pickle.dumps(learner))])
def test_a_copy_has_weights_threads_and_processes_of_its_own(spec, again):
    learner = runs.learner(policy=spec, engine=ScriptedEngine(runs.MIXED))
    assert again(learner).sampling == learner.sampling  # before there are weights
    learner.configure_model()
    expected = told(learner.answer(problems(2)))
    question = replace(problems(1)[0], answer="\\frac{1}{2}", kind="expression")
    learner.answer([question])  # starts the process that checks
    copied = again(learner)
    assert told(copied.answer(problems(2))) == expected
    for one, other in zip(learner.parameters(), copied.parameters(), strict=True):
        assert one is not other
        assert torch.equal(one, other)
    assert copied.answerer.engine._policy is copied.policy
    assert copied.answerer.rubric.verifier._process is None
    assert copied.answerer.rubric.verifier.limits == learner.answerer.rubric.verifier.limits
    assert copied.answerer.renderer._pool is not learner.answerer.renderer._pool
    learner.answerer.close()


class Copies(runs.lightning.Callback):
    def on_train_batch_end(self, trainer, pl_module, *_):
        self.copy = copy.deepcopy(pl_module)
        self.weights = [value.clone() for value in pl_module.parameters()]


def test_a_copy_in_a_fit_is_no_part_of_it(tmp_path):
    copies = Copies()
    learner = runs.learner(engine=ScriptedEngine(runs.MIXED))
    data = runs.data_module(val=None, test=None, prompts_per_step=2)
    runs.trainer(tmp_path, 2, callbacks=[copies]).fit(learner, datamodule=data)
    assert copies.copy.attached is None
    assert all(map(torch.equal, copies.copy.parameters(), copies.weights))


@pytest.mark.slow
def test_a_fit_in_spawned_processes_brings_its_weights_back(tmp_path):
    script = Path(__file__).parent / "helpers" / "spawned.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same weights" in done.stdout


def test_the_command_line_names_what_to_use_for_spawned_processes(tmp_path, capsys):
    words = ["fit", "--config", str(ROOT / "configs" / "quickstart.yaml"), "--run_dir", str(tmp_path / "run")]
    words += ["--model.policy.path", runs.CHECKPOINT, "--trainer.devices", "2"]
    assert main([*words, "--trainer.strategy", "ddp_spawn"]) == 2
    assert "trainer.strategy is ddp_spawn, whose processes" in capsys.readouterr().err
