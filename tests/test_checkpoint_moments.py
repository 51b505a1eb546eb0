"""When no checkpoint is written, and which score is the one to beat."""

import pytest
import torch

from observer.callbacks.checkpoints import Best
from test_checkpoints import Recording, rollouts_in
from tiny_run import fit

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Total length of .list. across ranks is zero"),
]


@pytest.fixture
def last(tmp_path):
    """The last checkpoint of a run of two rollouts, which are four steps."""
    fit(tmp_path, every=4, rollouts=2, validates=False)
    return tmp_path / "checkpoints" / "last.ckpt"


def gone_on(tmp_path, ckpt_path, rollouts, **options):
    """The steps at which a run that goes on writes a checkpoint."""
    io = Recording()
    fit(tmp_path, ckpt_path, every=4, rollouts=rollouts, io=io, **{"validates": False, **options})
    return [step for _, step in io.saved]


def test_the_sanity_check_of_a_run_that_goes_on_saves_nothing(tmp_path, last):
    assert gone_on(tmp_path, last, 3, validates=True, num_sanity_val_steps=1) == [6]
    assert rollouts_in(last) == 3, "it is the best, written once"
    assert rollouts_in(tmp_path / "checkpoints" / "previous.ckpt") == 2


def test_a_run_that_is_only_tried_out_writes_nothing(tmp_path):
    fit(tmp_path, rollouts=3, every=1, fast_dev_run=2)
    assert [path.name for path in tmp_path.rglob("*.ckpt")] == []


@pytest.mark.parametrize("score", [None, torch.tensor(0.5)])
def test_a_score_to_beat_is_one_that_there_is_with_a_file(tmp_path, score):
    best = Best(tmp_path / "best.ckpt")
    state = best.state_dict() | {"best_model_score": score, "best_model_path": "elsewhere/best.ckpt"}
    best.load_state_dict(state)
    assert (best.best_model_path, best.best_k_models) == ("", {}), "there is no file"
    (tmp_path / "best.ckpt").touch()
    best.load_state_dict(state)
    known = {} if score is None else {str(tmp_path / "best.ckpt"): score}
    assert best.best_k_models == known
    assert best.best_model_path == "".join(known)


def test_a_folder_that_is_in_use_is_no_news_to_a_run_that_goes_on(tmp_path, last, recwarn):
    fit(tmp_path, last, rollouts=3)
    assert [str(warning.message) for warning in recwarn if "not empty" in str(warning.message)] == []
