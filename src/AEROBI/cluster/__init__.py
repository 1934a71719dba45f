"""Many machines: one run by several processes, over parameter servers (README, "Many machines")."""
