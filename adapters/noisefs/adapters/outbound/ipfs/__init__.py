"""IPFS as the network: Kubo daemons through their RPC, ipfs-cluster through its REST."""
