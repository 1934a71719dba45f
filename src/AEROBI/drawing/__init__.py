"""Pictures of architectures and the film of a search."""
