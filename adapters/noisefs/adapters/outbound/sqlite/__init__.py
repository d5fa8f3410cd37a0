"""The index in one encrypted SQLite file: the embedded default."""
