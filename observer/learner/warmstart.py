"""The supervised cold start: the policy imitates worked solutions until it can learn from its own."""

from __future__ import annotations

from typing import Any

from observer.learner.module import PolicyModule
from observer.types import Completion, Group, Problem, Prompt, RefusedError


class WarmStart(PolicyModule):
    """Imitates ``metadata["solution"]`` of each problem; the loss is the mean over its tokens.

    Takes the options of ``PolicyModule``; evaluates like ``ObserveLearner``, so a threshold on
    ``val/accuracy`` can stop it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

    def training_step(self, problems: list[Problem], batch_idx: int) -> None:
        """Take one step of imitation."""
        with self.stage("render"):
            groups = [self._solved(prompt) for prompt in self.renderer.render(problems)]
        with self.stage("update"):
            total, loss = self.global_sum(sum(group.tokens for group in groups)), 0.0
            passes = list(self.micro_batches(groups))
            for pieces in passes:
                with self.gradient_sync(last=pieces is passes[-1]):
                    solved = [groups[place] for place, _ in pieces]
                    nll = -self.policy.logprobs(solved, with_entropy=False).values_N_T.sum() / total
                    self.manual_backward(nll * self.trainer.world_size)
                    loss += float(nll.detach())
            norm = self.apply_gradients()
        self.ladder.finish_step([], [])
        self.log_dict(
            {"loss": self.global_sum(loss), "gradient_norm": norm}, prog_bar=True, batch_size=len(problems)
        )

    def _solved(self, prompt: Prompt) -> Group:
        solution = prompt.problem.metadata.get("solution")
        if not isinstance(solution, str) or not solution:
            raise RefusedError(
                f"{prompt.problem.source}: row {prompt.problem.id!r} has the solution {solution!r}; a "
                f"cold start imitates the text in metadata 'solution' of every row"
            )
        ids = (*self.policy.tokenizer(solution).input_ids, self.policy.end_ids[0])
        completion = Completion(ids, (0.0,) * len(ids), solution, "stop", 0)
        return Group(prompt, (completion,), self.sampling(1, self.ladder.step, temperature=1.0, min_tokens=0))
