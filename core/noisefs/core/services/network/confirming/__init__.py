"""The classes above ``local``: what is on nodes before a write is answered."""
