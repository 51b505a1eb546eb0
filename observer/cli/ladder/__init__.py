"""What ``observer ladder`` does: builds a ladder from rows, puts its parts together, shows what is in it."""
