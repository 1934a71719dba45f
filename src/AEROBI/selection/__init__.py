"""A finished search: which architecture to keep."""
