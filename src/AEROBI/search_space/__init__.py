"""What a search chooses from: the one interface between the loop of a search and its networks."""
