"""Weightings: how much a group weighs in the update, by how hard it was. One per file."""
