"""Evaluations and audits with vLLM: the answers of transformers, also with what is changed in a prompt."""

import json

import pyarrow.parquet as pq
import pytest

import runs
from laddered import PLAIN, Silent
from observer.data import Tiles
from observer.evaluation import Audit, Benchmark, Evaluation, GroundingAudit
from observer.evaluation.audit.probing import CONDITIONS
from observer.evaluation.evaluating import SCORES, evaluate
from observer.ladder import AskedModel
from observer.rollout import VLLM, TransformersEngine
from test_grounding import Kept

pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("vllm_engine")]


def test_an_evaluation_and_its_audit_are_those_of_the_engine_transformers(tmp_path):
    for name, engine in (("vllm", VLLM()), ("transformers", TransformersEngine())):
        model = AskedModel(runs.CHECKPOINT, engine, max_prompt_tokens=64, device="cpu")
        benchmarks = {"tiles": Benchmark(Tiles(rows=16, split="test"))}
        options = {"responses": 2, "max_tokens": 64, "chunk_rows": 6, "audit": Audit(8)}
        evaluate(Evaluation(benchmarks, model, PLAIN, **options), tmp_path / name, Silent())
    found, expected = (
        json.loads((tmp_path / name / SCORES).read_text())["benchmarks"]["tiles"]
        for name in ("vllm", "transformers")
    )
    assert (found["greedy"], found["audit"]) == (expected["greedy"], expected["audit"])
    assert found["audit"]["conditions"].keys() == {*CONDITIONS}
    assert found["audit"]["conditions"]["wrong_picture"]["change"][0] < 0
    for file, columns in (("answers", ["greedy"]), ("audit", ["partner", *CONDITIONS])):
        tables = [
            pq.read_table(tmp_path / name / file / "tiles.parquet").select(columns)
            for name in ("vllm", "transformers")
        ]
        assert tables[0].equals(tables[1])


class Twice(GroundingAudit):
    """Audits with vLLM and with transformers."""

    def __init__(self):
        super().__init__(1, 8)
        self.both = []

    def _counts(self, module, trainer):
        answerer, other = module.answerer, TransformersEngine()
        other.start(module.policy)
        found, engine = super()._counts(module, trainer), answerer.engine
        answerer.engine = other
        self.both.append((found, super()._counts(module, trainer)))
        answerer.engine = engine
        return found


def test_the_audit_in_training_asks_the_newest_weights_and_leaves_nothing_behind(tmp_path):
    audit, logger, learner = Twice(), Kept(), runs.learner(engine=VLLM())
    trainer = runs.trainer(tmp_path, 3, callbacks=[audit], logger=logger, log_every_n_steps=1)
    trainer.fit(learner, datamodule=runs.data_module(test=None))
    assert len(audit.both) == 3
    for found, expected in audit.both:
        assert found == expected
    logged = {name for name in logger.figures[2] if "audit" in name}
    assert logged == {f"zoom_audit/{name}" for name in ("right", *CONDITIONS)}
    assert (
        max(step["train/sampler_gap"] for step in logger.figures.values() if "train/sampler_gap" in step)
        < 1e-5
    )
