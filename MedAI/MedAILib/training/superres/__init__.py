"""Training of the network that super-resolution of a scan starts from."""
