"""What a token of a rollout is worth to the policy: one loss a file. None of them reduces."""
