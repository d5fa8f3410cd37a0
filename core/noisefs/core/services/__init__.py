"""Use cases: they join the domain with the ports. Asynchronous; inbound adapters call nothing else."""
