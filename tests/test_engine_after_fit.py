"""An engine with weights of its own is closed by a fit, and started again when it is used after that."""

import pytest

import runs
from observer.data import Tiles
from observer.policy import PolicySpec, load_processor
from observer.rollout import ScriptedEngine

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


class OwnWeights(ScriptedEngine):
    """Cannot answer once it is closed."""

    weights = "own"

    def start(self, policy):
        assert isinstance(policy, PolicySpec)
        tokenizer = load_processor(policy).tokenizer
        super().start(type("Served", (), {"tokenizer": tokenizer, "end_ids": (tokenizer.eos_token_id,)}))
        self.synced = False

    def sync(self, named_tensors, version):
        super().sync(named_tensors, version)
        self.synced = True

    def generate(self, prompts, sampling):
        assert self.synced, "its weights are not those of the policy"
        return super().generate(prompts, sampling)

    def close(self):
        del self._policy
        self.synced = False


def test_a_learner_answers_and_is_tested_after_its_fit(tmp_path):
    learner = runs.learner(engine=OwnWeights(runs.MIXED))
    trainer, data = runs.trainer(tmp_path, 1), runs.data_module(prompts_per_step=1, val=None)
    trainer.fit(learner, datamodule=data)
    greedy = learner.answer(list(Tiles(rows=8, split="test").read()))
    assert all(score.correct for scores in greedy.scores for score in scores)
    [figures] = trainer.test(learner, datamodule=data, verbose=False)
    assert figures["test/accuracy"] == 1
