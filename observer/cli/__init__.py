"""The command line: one file per command. No other package imports it: commands call the packages below."""

from observer.cli.app import main

__all__ = ["main"]
