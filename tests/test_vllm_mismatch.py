"""Of vLLM too the cause that is named is the one that was made."""

import pytest

from observer.metrics.mismatch_alarm import CAUSES
from observer.types import Sampling
from test_mismatch import alarm, mixed, steps_of

pytestmark = pytest.mark.vllm
__all__ = ["mixed"]  # a fixture


class Leaving:
    """VLLM, handed the first policy's weights again in place of some of each later one's."""

    def __init__(self, engine, left_out):
        self.engine, self.left_out, self.first = engine, left_out, {}

    def sync(self, named_tensors, version):
        given = {name: tensor.clone() for name, tensor in named_tensors}
        self.first = self.first or given
        old = {name for name in given if self.left_out is not None and self.left_out in name}
        handed = [(name, (self.first if name in old else given)[name]) for name in given]
        self.engine.sync(handed, version)

    def generate(self, prompts, sampling):
        return self.engine.generate(prompts, sampling)


@pytest.mark.parametrize(
    ("left_out", "cause"),
    [(None, None), ("", "weights"), ("visual", "features")],
    ids=["none", "all", "tower"],
)
def test_the_cause_is_named(vllm_engine, fresh_policy, mixed, renderer, left_out, cause):
    engine, sampling = Leaving(vllm_engine, left_out), Sampling(group_size=4, max_tokens=20)
    told = alarm(steps_of(engine, fresh_policy(), mixed, renderer.image_id, sampling))
    assert (told is None) is (cause is None)
    assert cause is None or CAUSES[cause] in told.text
