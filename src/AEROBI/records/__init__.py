"""What a run leaves, format by format, written and read back."""
