"""The middle ring: everything that talks to the outside."""
