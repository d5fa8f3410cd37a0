"""Whether a request may go ahead: locks, the If header, conditions."""
