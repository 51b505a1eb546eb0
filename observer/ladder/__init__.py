"""How does a data set become a ladder, and why is each row in or out?

Build steps measure rows in chunks and select among them; what is written is a ladder to train on, with its
control, its card and the reasons of every row that was removed. It trains nothing.
"""

from typing import TYPE_CHECKING

from observer import on_demand
from observer.ladder.asked import AskedModel
from observer.ladder.recipe import Recipe
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep
from observer.ladder.steps.decontaminate import Decontaminate
from observer.ladder.steps.duplicates import Duplicates
from observer.ladder.steps.low_complexity import LowComplexity
from observer.ladder.steps.measure import Measure
from observer.ladder.steps.mix import Mix
from observer.ladder.steps.no_picture import NoPicture
from observer.ladder.steps.review import Review
from observer.ladder.steps.sample import Sample
from observer.ladder.steps.simple_questions import SimpleQuestions
from observer.ladder.steps.sort import Sort
from observer.ladder.steps.verifiable import Verifiable
from observer.ladder.table import Table

if TYPE_CHECKING:
    from observer.ladder.building import build
else:
    __getattr__, __dir__ = on_demand(__name__, build="observer.ladder.building")

__all__ = [
    "AskedModel",
    "BuildStep",
    "Decontaminate",
    "Duplicates",
    "LowComplexity",
    "Measure",
    "Mix",
    "NoPicture",
    "Recipe",
    "Review",
    "Sample",
    "Selection",
    "SimpleQuestions",
    "Sort",
    "Table",
    "Verifiable",
    "build",
]
