"""KL estimators: how far the policy is from the reference, token by token. One per file."""
