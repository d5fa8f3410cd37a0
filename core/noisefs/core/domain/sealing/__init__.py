"""What keeps content secret: keys and where they lie, segments, slices and inner streams."""
