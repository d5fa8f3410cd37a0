"""What the operating system gives: time, randomness, threads, files and locks of processes."""
