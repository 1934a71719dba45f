"""The label files of a data set, in their forms, and what they become."""
