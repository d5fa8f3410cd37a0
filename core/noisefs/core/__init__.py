"""The inner ring: what NoiseFS decides. No sockets, files, SQL or clocks here."""
