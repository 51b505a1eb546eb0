"""How much a group weighs in the update, by how hard it was: one weighting a file."""
