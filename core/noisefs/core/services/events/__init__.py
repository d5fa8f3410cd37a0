"""Events of objects: the queue they wait in, and their way to the receivers."""
