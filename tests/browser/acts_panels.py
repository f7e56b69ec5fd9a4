"""What a reader does with the panels of scores and of decoupling."""

BY_HAND = {}
"""What is tried in a notebook once it has run."""
