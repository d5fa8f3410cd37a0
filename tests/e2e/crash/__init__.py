"""The process-level crash test: ``python -m tests.e2e.crash --kills 200``."""
