"""A store from nodes alone, after its machine was lost."""
