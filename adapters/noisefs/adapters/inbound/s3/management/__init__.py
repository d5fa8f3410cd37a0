"""IAM and STS on the same endpoint: forms posted to its root."""
