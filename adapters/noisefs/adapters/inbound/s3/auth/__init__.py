"""Who asks: AWS Signature Version 4 in headers and in the query."""
