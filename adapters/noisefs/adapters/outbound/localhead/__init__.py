"""The store's head as a file of the data folder."""
