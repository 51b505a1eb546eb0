"""``observer predict`` of one question, to any weights: the command and its options."""
