"""Fits on two processes that are spawned, and compares the weights that come back with the checkpoint's."""

import sys
from pathlib import Path

import torch

import runs
from observer.callbacks import GracefulStop, checkpoint_callbacks
from observer.learner import ObserveLearner

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    learner = runs.learner()
    trainer = runs.trainer(
        folder,
        2,
        callbacks=[*checkpoint_callbacks(folder, 1, validates=True), GracefulStop()],
        devices=2,
        strategy="ddp_spawn",
        use_distributed_sampler=False,
    )
    trainer.fit(learner, datamodule=runs.data_module())
    saved = ObserveLearner.load_from_checkpoint(folder / "checkpoints" / "last.ckpt")
    own = learner.policy.state_dict()
    assert all(torch.equal(own[name], value) for name, value in saved.policy.state_dict().items())
    print("the same weights")
