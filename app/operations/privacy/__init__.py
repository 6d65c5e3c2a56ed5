"""What a participant can ask for: a copy of everything that is stored about them."""
