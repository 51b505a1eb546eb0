"""Commands that measure and compare models."""
