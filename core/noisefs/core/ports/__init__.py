"""What core asks of the outside, as abstract classes whose docstrings are promises.

Every port has a conformance suite in ``tests/conformance`` that all its adapters pass.
"""
