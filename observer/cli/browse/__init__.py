"""What ``observer browse`` does: writes a page of the completions that a run or predict has kept."""
