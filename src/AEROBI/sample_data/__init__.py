"""The embedded data set: painted concrete with defects."""
