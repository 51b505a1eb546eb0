"""``observer curriculum preview``: what a schedule would draw, step by step. No model, no GPU, no pictures.

A schedule that heeds pass rates has to be told some. They are made up here, and the output says so.
"""

from observer.preview.command import preview_command

__all__ = ["preview_command"]
