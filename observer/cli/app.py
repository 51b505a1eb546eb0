"""The command line: ``observer fit | validate | test | predict | score | ablate | curriculum | ..``.

Options are the parameters of the classes that use them; each command's file adds only options of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from observer import __version__
from observer.cli.early import default_learner, prepared, uncollected
from observer.cli.export import export_command
from observer.cli.list import list_command
from observer.refusal import printable
from observer.run.files import WriteError, causes
from observer.run.waiting import started_as
from observer.types import EngineError, LostInputError, RefusedError

RUN_COMMANDS = ("fit", "validate", "test", "predict")
LADDER_COMMANDS = ("build", "merge", "inspect", "review", "learned", "export")
REFUSALS = ("RefusedError", "MisconfigurationException")
"""Exceptions whose message is printed without a traceback; by name, as importing Lightning takes seconds."""
GO_ON = "go on with --ckpt_path last (or start again, if the run had no checkpoint yet)"
MADE_ROOM = f"make room, then {GO_ON}: nothing that a checkpoint holds is lost"
LOST = re.compile(r"gloo/transport|gloo::|ncclRemoteError|ncclSystemError|Connection (closed|reset) by peer")
"""What gloo and NCCL say when the process at the other end is gone."""
MESSAGE_LINE = 4000
"""The most characters of a line of a message."""
HELP = """usage: observer COMMAND [OPTIONS]

  fit        train a policy; --help prints every option, --plan what it would take, before it starts
  validate   measure a policy on data.val
  test       measure a policy on data.test
  predict    write a policy's completions of data.predict, with verdicts; --weights answers one question
  score      score completions that you already have
  ablate plan            list the runs of a grid file, what they cost and what they can show
  ablate run             run a grid: several runs at once, resumed where they were cut off
  ablate report          what a grid shows and what it does not, with intervals and figures
  doctor     look at all rows of a fit before it: what would be refused, and what is in them
  curriculum preview     show what a schedule would draw
  curriculum estimates   write the difficulties of rows as a run has measured them
  ladder build           build a difficulty ladder from rows, step by step; resumable
  ladder merge           put the parts of a ladder together that several jobs have built
  ladder inspect         show what is in a ladder: levels, mixing, sources, what each step removed
  ladder review          write a page of the rows that a person should look at, to decide on them
  ladder learned         write what a run has learned of a ladder's rows as new columns
  ladder export          write a ladder's rows for TRL, verl, EasyR1 or ms-swift
  evaluate   measure a model on benchmarks, greedy and sampled, with intervals; resumable
  browse     write a page of the completions that a run has kept, with its curves
  compare    compare models on the same rows: paired differences, rows won and lost, a page of them
  list       print the strategies that are known by name, with their parameters
  export     write a checkpoint's policy as a Hugging Face directory

for example: observer fit --config quickstart"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status: 0 done, 2 refused, 1 failed, interrupted or bad rows.

    141 where nobody reads on what it prints, as after ``| head``.

    Args:
        arguments: without the program's name; None for those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            code = _command(words)
        except SystemExit:  # of --help
            sys.stdout.flush()
            raise
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        if not _nobody_reads():
            raise  # another pipe, such as that of a judge
        return 128 + signal.SIGPIPE


def _nobody_reads() -> bool:
    """Return whether the reader of the standard output has gone; what is left to print then goes nowhere."""
    try:
        output = sys.stdout.fileno()
        poll = select.poll()
        poll.register(output, 0)
        gone = any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no pipe at all, or no such question on this system
        return False
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)  # or the interpreter complains at its end
    return gone


def _run(words: list[str]) -> int:
    """Run the command that a command line names."""
    if words[:1] in ([], ["-h"], ["--help"]):
        print(HELP)
    elif words == ["--version"]:
        print(f"observer {__version__}")
    elif words[0] == "list":
        list_command(words[1:])
    elif words[0] == "export":
        export_command(words[1:])
    elif words[0] == "score":
        score_command(words[1:])
    elif words[0] == "doctor":
        return doctor_command(words[1:])
    elif words[:2] in (["curriculum", "preview"], ["curriculum", "estimates"]):
        curriculum_command(words[1], words[2:])
    elif words[:1] == ["ladder"]:
        ladder_command(" ".join(words[1:2]), words[2:])
    elif words[0] == "evaluate":
        evaluate_command(words[1:])
    elif words[0] == "browse":
        from observer.cli.browse.command import browse_command

        browse_command(words[1:])
    elif words[0] == "compare":
        compare_command(words[1:])
    elif words[0] == "ablate":
        from observer.cli.ablate import ablate_command

        return ablate_command(" ".join(words[1:2]), words[2:], fit_options)
    elif words[0] == "fit" and any(word.partition("=")[0] == "--plan" for word in words):
        from observer.cli.plan.command import plan_command

        plan_command(words, fit_options, run_command)
    elif words[0] in RUN_COMMANDS:
        (predict_command if words[0] == "predict" else run_command)(words)
    else:
        raise RefusedError(f"command {words[0]!r} does not exist\n\n{HELP}")
    return 0


def _command(words: list[str]) -> int:
    """Run a command line, and print a line for what goes wrong."""
    try:
        return _run(words)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if isinstance(error, BrokenPipeError):
            raise
        led = list(causes(error))  # parsers and trainers wrap exceptions
        gone = next((cause for cause in led if isinstance(cause, LostInputError)), None)
        if gone is not None:
            print(f"observer: interrupted: {_lines(gone)}", file=sys.stderr)
            return 1
        refused = next((cause for cause in led if type(cause).__name__ in REFUSALS), None)
        if refused is not None:
            print(f"observer: refused: {_lines(refused)}", file=sys.stderr)
            return 2
        failed = next((cause for cause in led if isinstance(cause, WriteError)), None)
        if failed is not None:
            mend = MADE_ROOM if words[0] == "fit" else "make room and run it again"
            print(f"observer: failed: {_lines(failed)}; {mend}", file=sys.stderr)
            return 1
        if any(isinstance(cause, KeyboardInterrupt) for cause in led):
            return 130
        rank, ranks = started_as()
        if ranks > 1 and (lost := next(filter(lost_rank, led), None)) is not None:
            why = str(lost).strip().partition("\n")[0]
            print(
                f"observer: failed: rank {rank} has lost another rank, whose own lines say why it ended; "
                f"mend that, then go on with --ckpt_path last ({why})",
                file=sys.stderr,
                flush=True,
            )
            raise
        broken = next((cause for cause in led if isinstance(cause, EngineError)), None)
        if broken is not None:
            mend = f"mend that, then {GO_ON}" if words[0] == "fit" else "mend that and run it again"
            print(f"observer: failed: {_lines(broken)}; {mend}", file=sys.stderr, flush=True)
            return 0 if broken.shared_by else 1  # Lightning kills rank 0 when one that it has started says 1
        if any(getattr(cause, "shared_by", None) for cause in led):  # output that is not finite: likewise
            print(f"observer: failed: {_lines(error)}", file=sys.stderr, flush=True)
            return 0
        raise


def lost_rank(error: BaseException) -> bool:
    """Return whether an exception says that another process of the run is gone.

    >>> lost_rank(RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:8106"))
    True
    >>> lost_rank(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    of_torch = type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError")
    return of_torch or (isinstance(error, RuntimeError) and LOST.search(str(error)) is not None)


def _lines(error: BaseException) -> str:
    """Return a message for the terminal: messages of libraries may hold control sequences of the input."""
    return "\n".join(printable(line, MESSAGE_LINE) for line in str(error).split("\n"))


def run_defaults(learner: type) -> dict[str, Any]:
    """Return the options of a run that nobody wrote, for interpolations that refer to them."""
    from observer.cli.run import RunCLI  # imports Lightning

    return RunCLI.defaults(learner)


def fit_options(words: list[str]) -> dict[str, Any]:
    """Return all options of ``fit`` as a run's ``config.yaml`` holds them, without running it."""
    learner, words = prepared(words, run_defaults)
    from observer.cli.run import RunCLI

    return RunCLI.options(learner or default_learner(), words)


def run_command(words: list[str]) -> None:
    """Run ``fit``, ``validate``, ``test`` or ``predict``."""
    learner, words = prepared(words, run_defaults)
    from observer.cli.run import RunCLI

    RunCLI.run(learner or default_learner(), words)


def predict_command(words: list[str]) -> None:
    """Answer the rows of a configuration, or one question."""
    if {"--weights", "--image", "--question", "--gold"} & {word.partition("=")[0] for word in words}:
        from observer.cli.predict.question import asks_one_question, question_command

        if asks_one_question(words):
            question_command(prepared(words, run_defaults)[1][1:])
            return
    run_command(words)


def curriculum_command(what: str, words: list[str]) -> None:
    """Show what a schedule would draw, or write the difficulties of rows as a run has measured them."""
    if what == "preview":
        with uncollected():
            words = prepared(words, run_defaults)[1]
            from observer.cli.curriculum.preview import preview_command

        preview_command(words)
        return
    configured = _configured(words)
    from observer.cli.curriculum.estimates import estimates_command

    estimates_command(words, configured)


def _configured(words: list[str]) -> list[str]:
    """Return the words that name the configuration of the run that ``--run_dir`` names, if it has one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--run_dir", default="")
    run_dir = parser.parse_known_args(words)[0].run_dir
    if run_dir and (config := Path(run_dir) / "config.yaml").is_file():
        return prepared(["--config", str(config)], run_defaults)[1]
    return []


def ladder_command(what: str, words: list[str]) -> None:
    """Build a ladder, merge its parts, show it, write its review, what was learned of it, or its rows."""
    if what not in LADDER_COMMANDS:
        raise RefusedError(f"observer ladder {what!r} does not exist; there are {', '.join(LADDER_COMMANDS)}")
    if what == "inspect":
        from observer.cli.ladder.inspect import inspect_command

        inspect_command(words)
        return
    if what == "review":
        from observer.cli.ladder.review import review_command

        review_command(words)
        return
    if what == "export":
        from observer.cli.ladder.export import export_command as ladder_export_command

        ladder_export_command(words)
        return
    if what == "learned":
        configured = _configured(words)
        from observer.cli.ladder.learned import learned_command

        learned_command(words, configured)
        return
    with uncollected():
        words = prepared(words, run_defaults)[1]
        from observer.cli.ladder import build

    {"build": build.build_command, "merge": build.merge_command}[what](words)


def evaluate_command(words: list[str]) -> None:
    """Measure a model on benchmarks."""
    with uncollected():
        words = prepared(words, run_defaults)[1]
        from observer.cli.evaluation import evaluate

    evaluate.evaluate_command(words)


def compare_command(words: list[str]) -> None:
    """Compare evaluations of the same rows; needs no GPU and no model."""
    from observer.cli.evaluation.compare import compare_command as command

    with uncollected():
        command(words, lambda config: prepared(["--config", config], run_defaults)[1])


def doctor_command(words: list[str]) -> int:
    """Look at all rows of a fit; needs no GPU and no model weights."""
    with uncollected():
        learner, words = prepared(words, run_defaults)
        from observer.cli.doctor.command import doctor_command as command

    return command(learner, words)


def score_command(words: list[str]) -> None:
    """Score the completions of a file under a configuration; needs no GPU and no model weights."""
    with uncollected():
        learner, words = prepared(words, run_defaults)
        from observer.cli.score import print_scores

    print_scores(learner, words)
