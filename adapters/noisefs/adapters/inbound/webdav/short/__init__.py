"""The short way for the most frequent requests: answered without a task, a request object or a response object."""
