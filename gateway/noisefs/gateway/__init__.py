"""The outer ring: command line, configuration, assembly, server."""
