"""Policy losses by token, one per file. None of them reduces."""
