"""Checks of rows before training, and what is kept of them so that they are made once."""
