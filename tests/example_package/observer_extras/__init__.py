"""A package of somebody else's that brings a strategy."""
