"""Who may do what: policies, lists and ownership, looked at in the transaction they count in."""
