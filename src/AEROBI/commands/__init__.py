"""The words of `aerobi`: a file for each, with its flags and its one line of error."""
