"""Groups of completions as they are logged and drawn."""

import numpy as np

from observer.data.tiles.rows import Tiles
from observer.objective import ComponentWeights, GroupMean, Quadratic, weigh
from observer.pages.completions_page import draw_group
from observer.rewards import Accuracy, Bonus, Format, Observe, Rubric
from observer.types import Completion, Group, Prompt, Sampling

RIGHT = "<observe> 1 </observe><think> 1 </think><answer> {answer} </answer>"

WRONG = "<observe> 1 </observe><think> 1 </think><answer> 99 </answer>"


def make_group(*texts, row=0, problem=None, finish_reason="stop", step=7):
    problem = Tiles(rows=16).read()[row] if problem is None else problem
    said = (text.replace("{answer}", problem.answer) for text in texts)
    completions = (
        Completion(tuple(range(len(text))), (0.0,) * len(text), text, finish_reason, index)
        for index, text in enumerate(said)
    )
    return Group(Prompt(problem, (1,)), tuple(completions), Sampling(len(texts), step=step))


def weighed(*groups):
    rubric = Rubric({"accuracy": Accuracy(), "format": Format(), "bonus": Bonus()}, Observe())
    components = ComponentWeights(rubric.weights, rubric.accuracy)
    return weigh(groups, [rubric.score(group, 0) for group in groups], components, GroupMean(), Quadratic())


def draw(group, most=4):
    experience = weighed(group)
    advantages_G = experience.advantages_P_G[0].tolist()
    return draw_group(group, experience.scores[0], advantages_G, experience.weights_P_G[0].tolist(), most)


def has(page, colour):
    """Whether a colour covers a block of a page, as a bar does and a letter does not."""
    return int((np.asarray(page) == colour).all(-1).sum()) > 300
