"""The command line of the scripts that tell a grid's figures: GRID FOLDER --csv FILE."""

import argparse
from pathlib import Path


def read_command_line(doc, folder):
    """The words that a script was given: ``grid``, ``folder`` and ``csv``, all paths.

    Args:
        doc: of the script; its first line is shown.
        folder: what the folder is of.
    """
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("grid", type=Path)
    parser.add_argument("folder", type=Path, help=folder)
    parser.add_argument("--csv", required=True, type=Path)
    return parser.parse_args()
