"""What ends a benchmark: one error class, so that the command line can print one line for it."""


class BenchError(Exception):
    """A measurement cannot be had; the message says which and why."""
