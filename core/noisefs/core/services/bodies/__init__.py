"""Bodies: taking bytes in, giving them out, and counting who refers to them."""
