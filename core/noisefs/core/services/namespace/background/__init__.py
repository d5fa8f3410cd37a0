"""What is done to the namespace without a request: lifecycle, expiry, access logs."""
