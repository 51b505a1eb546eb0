"""Training a policy that is cut over ranks: the trainer's strategy, and passes that all ranks run alike."""
