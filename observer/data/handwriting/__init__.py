"""Boards of handwritten digits: the quickstart's question asked of pictures that people made.

The digits are files of packages that a user installs (``pip install 'observer-r1[handwriting]'``); none are
in this project. How they lie on a board is drawn from a row's number: a ladder of any size takes no space.
"""
