"""A data module that has been set up and admitted, on a small file of rows."""

from observer.data import LadderDataModule
from observer.verifier import Verifier

ROWS, PROMPTS = 12, 4


def admitted(renderer, folder, stage="fit", **options):
    module = LadderDataModule(**{"prompts_per_step": PROMPTS, **options})
    module.setup(stage)
    module.admit(renderer, Verifier(), folder)
    return module


def rows_of(batches):
    return [[problem.row for problem in batch] for batch in batches]
