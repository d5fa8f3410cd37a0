"""Other processes of the store that ask for cells."""
