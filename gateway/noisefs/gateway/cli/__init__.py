"""The program ``noisefs``."""

from noisefs.gateway.cli.program import main

__all__ = ["main"]
