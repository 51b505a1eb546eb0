"""The tiles ladder: procedural picture questions of eight levels, and a model small enough to learn them.

It exists so that the whole method can be run, tested and measured end to end without a download: rows are
made from their number, so a ladder of a million rows takes no space.
"""
