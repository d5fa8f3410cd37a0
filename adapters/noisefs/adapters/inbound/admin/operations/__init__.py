"""What administration can ask of a store: each operation once, for the socket of a running server and for commands
that open the store themselves.
"""
