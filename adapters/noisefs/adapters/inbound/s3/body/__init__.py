"""Request bodies in: of the declared length, out of their chunks, with the digests the client gave verified."""
