"""How long bodies leave, whatever the protocol."""
