"""What lies on nodes: blocks, roots and CARs (IPLD), files made of blocks, and which nodes hold copies."""
