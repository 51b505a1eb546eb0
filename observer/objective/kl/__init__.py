"""How far the policy is from the reference, token by token: one estimator a file."""
