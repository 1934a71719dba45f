"""What a run writes while it goes: its directory, checkpoints, files that are whole or absent."""
