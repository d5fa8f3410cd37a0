"""The network as the backing store: packs onto nodes, and what keeps them there."""
