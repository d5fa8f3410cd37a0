"""The policy that a model decides for: what is remembered, what a model sees, and who leaves."""
