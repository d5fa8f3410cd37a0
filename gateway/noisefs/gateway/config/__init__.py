"""Configuration: one typed schema, read from a file, the environment and flags, in rising order of weight."""
