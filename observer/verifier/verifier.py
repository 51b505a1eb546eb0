"""Checks batches of answers, dangerous ones in processes that can be killed, so that none hangs a run."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from weakref import WeakSet, finalize

import observer
from observer.refusal import refuse_outside, shown
from observer.run.waiting import waiting
from observer.types import Verdict
from observer.verifier.verify import ISOLATED, MAX_LENGTH, verify

REMEMBERED = 100_000
"""Results of isolated checks that are kept at most."""
GRACE_SECONDS = 60.0
"""How much longer than its limits the process may take to start or to answer before it is killed."""
PROGRAM = (
    # Where this package lies may also hold files that are named like modules of the standard library.
    "import sys; sys.path.insert(0, sys.argv[1]); import observer; del sys.path[0]; "
    "from observer.verifier.worker import main; main()"
)
"""What the process runs."""


@dataclass(frozen=True)
class Question:
    """Is the prediction the gold answer?"""

    kind: str
    """How they are compared, a key of ``observer.verifier.verify.KINDS``."""
    gold: str
    """The right answer, as its source writes it."""
    prediction: str | None
    """The answer found in the response; None when there was none."""
    options: tuple[str, ...] = ()
    """The texts of a choice's options, A first; empty where they are unknown."""


@dataclass(frozen=True)
class Result:
    """The answer to a question."""

    verdict: Verdict
    reason: str
    """Why, for people: no code reads it."""
    finished: bool = True
    """Whether the check ran to its end. One that did not (too slow, too large, killed) is unverifiable; its
    next check may have another verdict."""
    timed_out: bool = False
    """Whether it did not finish because a time limit was reached."""


@dataclass(frozen=True)
class Limits:
    """Limits of time and memory for checking.

    Args:
        workers: processes that check at the same time.
        seconds: limit for one answer; then its process is killed.
        batch_seconds: limit for a batch; answers not checked by then are unverifiable.
        memory_mb: address space of a process.
    """

    workers: int = 4
    seconds: float = 5.0
    batch_seconds: float = 120.0
    memory_mb: int = 2048

    def __post_init__(self) -> None:
        """Refuse limits that no check can keep."""
        for name, least in (("workers", 1), ("seconds", 0.1), ("batch_seconds", 0.1), ("memory_mb", 512)):
            refuse_outside(f"verifier.{name}", getattr(self, name), least)

    @property
    def answers_in_time(self) -> int:
        """Answers that take half of ``batch_seconds`` together when each takes ``seconds``; at least 1.

        In a batch of at most this many, a slow answer leaves no other unchecked.
        """
        return max(1, int(self.workers * self.batch_seconds / (2 * self.seconds)))


class Verifier:
    """Checks batches of answers.

    Kinds whose checkers are linear in their input are checked here and now. The others go to a process of its
    own (``observer.verifier.worker``), which is started when first needed and ends with this one, however
    that ends. It never imports the program's main module. Threads may share a verifier; a forked process
    starts its own process, and so does a copy, which has the limits alone.
    """

    def __init__(self, limits: Limits = Limits()) -> None:
        """Set the limits; nothing is started."""
        self.limits = limits
        self._known: dict[Question, Result] = {}
        self._lock = threading.Lock()
        self._checked = 0
        """Answers of the batch under way that were checked, as far as the process has told."""
        self._process: subprocess.Popen[bytes] | None = None
        _LIVING.add(self)

    def __reduce__(self) -> tuple[type[Verifier], tuple[Limits]]:
        """Copies and pickles have the limits alone: a lock and a process cannot be copied."""
        return type(self), (self.limits,)

    def verify_all(self, questions: Sequence[Question]) -> list[Result]:
        """Return the result of each question, in order.

        A check that takes too long, needs too much memory or dies is unverifiable and not finished.

        Raises:
            RefusedError: a kind does not exist.
            RuntimeError: the process for isolated checks cannot be started.
        """
        results: dict[Question, Result] = {}
        isolated = {}
        for question in dict.fromkeys(questions):
            if question.kind in ISOLATED:
                prediction = None if question.prediction is None else _cut(question.prediction)
                isolated[question] = replace(question, gold=_cut(question.gold), prediction=prediction)
            else:
                results[question] = Result(
                    *verify(question.gold, question.prediction, question.kind, question.options)
                )
        if isolated:
            with self._lock:
                answers = self._isolated(isolated.values())
            results |= {question: answers[cut] for question, cut in isolated.items()}
        return [results[question] for question in questions]

    def close(self) -> None:
        """End the process, if there is one. The next isolated check starts another."""
        with self._lock:
            self._stop()

    def _isolated(self, questions: Iterable[Question]) -> dict[Question, Result]:
        results = {question: self._known[question] for question in questions if question in self._known}
        asked = [question for question in dict.fromkeys(questions) if question not in results]
        if not asked:
            return results
        answers = self._ask(asked) or self._ask(asked)  # once more, should somebody have killed the process
        if answers is None:
            died = Result(Verdict.UNVERIFIABLE, "the process that checks answers died twice", finished=False)
            answers = [died] * len(asked)
        for question, result in zip(asked, answers, strict=True):
            results[question] = result
            if result.finished:
                self._known[question] = result
        while len(self._known) > REMEMBERED:
            self._known.pop(next(iter(self._known)))
        return results

    def _ask(self, questions: Sequence[Question]) -> list[Result] | None:
        """Send a batch to the process; None when it died, or had to be killed because it did not answer."""
        if self._process is None or self._process.poll() is not None:
            with waiting("the process that checks answers starts"):
                self._start()
        batch = [[q.gold, q.prediction, q.kind, q.options] for q in questions]
        self._checked = 0
        with waiting("answers are checked", lambda: self._pending(questions)):
            answer = self._exchange(json.dumps(batch) + "\n", self.limits.batch_seconds + GRACE_SECONDS)
        if answer is None:
            if _EXITING.is_set():  # quietly ends a thread that is still waiting
                raise SystemExit
            return None
        return [Result(Verdict(verdict), *others) for verdict, *others in json.loads(answer)]

    def _pending(self, questions: Sequence[Question]) -> str:
        """Return how far a batch is, for people: which answer is the first without a result."""
        first, limits = questions[min(self._checked, len(questions) - 1)], self.limits
        return (
            f"{self._checked} of {len(questions)} by now; next is the {first.kind} {shown(first.prediction)} "
            f"for {shown(first.gold)}; at most {limits.seconds:g} s each, {limits.batch_seconds:g} s in all"
        )

    def _start(self) -> None:
        self._stop()
        channel, theirs = socket.socketpair()
        with theirs:
            options = asdict(self.limits) | {"parent": os.getpid(), "channel": theirs.fileno()}
            root = str(Path(observer.__file__).parents[1])
            process = subprocess.Popen(
                # -P: a file of the user's folder must not pass for a module of a library.
                [sys.executable, "-P", "-c", PROGRAM, root, json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # libraries print there
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the run, which ends the process in its own time
            )
        self._process, self._channel = process, channel
        self._end_process = finalize(self, _end, process, channel, os.getpid())
        atexit.register(_EXITING.set)  # registered after the finalizer's own, so called before it
        if self._exchange("", GRACE_SECONDS) is None:
            raise RuntimeError(
                "the process that checks answers did not start; what it wrote to standard error says why"
            )

    def _exchange(self, line: str, seconds: float) -> bytes | None:
        """Send a line and return the one that comes back; None when the process is gone or too slow."""
        answer, deadline = b"", time.monotonic() + seconds
        self._channel.settimeout(seconds)
        try:
            with suppress(OSError):
                self._channel.sendall(line.encode())
                with self._channel.makefile("rb") as lines:
                    answer = lines.readline()
                    while answer.endswith(b"\n") and answer[:-1].isdigit():  # so many are checked by now
                        self._checked = int(answer)
                        self._channel.settimeout(max(0.1, deadline - time.monotonic()))
                        answer = lines.readline()
        finally:
            if not answer.endswith(b"\n"):  # an interrupted batch must not be the answer to the next one
                self._stop()
        return answer if answer.endswith(b"\n") else None

    def _stop(self) -> None:
        if self._process is not None:
            self._end_process()
        self._process = None

    def _forget_process(self) -> None:
        self._lock = threading.Lock()  # a thread that is not in this process may hold the old one
        if self._process is not None:
            self._channel.close()
            self._process.returncode = 0  # it is no child of this process, which is not to wait for it
        self._process = None


_EXITING = threading.Event()
_LIVING: WeakSet[Verifier] = WeakSet()


def _forget_processes() -> None:
    for verifier in _LIVING:
        verifier._forget_process()


os.register_at_fork(after_in_child=_forget_processes)


def _cut(text: str) -> str:
    """Return no more of a text than shows that it is too long to be looked at."""
    text = text.strip()
    return text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + text[-1]  # which is no blank


def _end(process: subprocess.Popen[bytes], channel: socket.socket, owner: int) -> None:
    """End the process and all below it, unless it belongs to the process that this one was forked from."""
    if os.getpid() != owner:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    channel.close()
