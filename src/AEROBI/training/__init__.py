"""The loops of search and final training, and what they rest on."""
