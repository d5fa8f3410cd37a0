"""Background work: packing small objects, releasing dead bodies, cleaning packs, checking what is there."""
