"""What a reader does with the attribution viewer and the face that answers."""

BY_HAND = {}
"""What is tried in a notebook once it has run."""
