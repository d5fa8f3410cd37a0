"""Who may do what: policy documents, access control lists, ownership, public access; pure arithmetic on values."""
