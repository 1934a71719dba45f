"""A trained network: found, opened, evaluated, exported."""
