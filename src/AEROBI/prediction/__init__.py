"""What is on photographs: rows of probabilities and heat maps."""
