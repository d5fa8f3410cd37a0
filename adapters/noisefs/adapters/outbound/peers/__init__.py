"""Other processes of the store that are asked for cells."""
