"""What requests do: one module for each kind of operation, each over the services of core."""
