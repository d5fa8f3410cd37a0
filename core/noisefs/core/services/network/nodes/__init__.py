"""The configured nodes, and how they are asked: who first, how long, who is left alone for a while."""
