"""``observer export``: a checkpoint's policy as a Hugging Face directory."""

from __future__ import annotations

from pathlib import Path

from observer.cli.configuration.plain_parser import PlainParser
from observer.run.files import refuse_output


def export_command(words: list[str]) -> None:
    """Write a checkpoint's policy as a complete Hugging Face directory."""
    parser = PlainParser(
        prog="observer export", description="Write a checkpoint's policy as a Hugging Face directory."
    )
    parser.add_argument("--run_dir", required=True, help="the run")
    parser.add_argument(
        "--checkpoint",
        "--ckpt_path",
        default="best",
        help="best, last, or the path of a .ckpt file (default: best)",
    )
    parser.add_argument("--output", required=True, help="the directory to write; must not exist")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="type of the weights in the file (default: the one that loses nothing: float32 with adapters, "
        "else that of the run)",
    )
    given = parser.parse_args(words)
    output = Path(given.output)
    refuse_output(given.output)
    from observer.run.checkpoints import resolve_checkpoint

    checkpoint = resolve_checkpoint(given.run_dir, given.checkpoint)
    import torch

    from observer.cli.parser import hide_bars, quieten
    from observer.policy import export_checkpoint
    from observer.release.files import files_of_checkpoint

    quieten()
    hide_bars()
    dtype = given.dtype and getattr(torch, given.dtype)
    beside = files_of_checkpoint(checkpoint, Path(given.run_dir))
    if told := export_checkpoint(checkpoint, output, dtype, beside):
        print(told)
    print(output)
