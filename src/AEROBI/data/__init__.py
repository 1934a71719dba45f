"""From labels and image files on disk to batches of patches."""
