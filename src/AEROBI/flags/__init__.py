"""From flags to one frozen configuration: the table, the presets, what is stored in a run."""
