"""What a build writes: the ladder, its control, the review list, the manifest and the card."""
