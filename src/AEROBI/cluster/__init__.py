"""One run by several processes, over parameter servers: scripts/cluster/README.md."""
