"""Synchronous arithmetic on values: sealing, masking, packs, records, names. No I/O, clock or randomness."""
