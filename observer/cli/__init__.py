"""The command line: one file a command. Nothing imports it; the rooms below are libraries to call."""

from observer.cli.app import main

__all__ = ["main"]
