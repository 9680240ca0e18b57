"""Training of registration networks, on synthetic pairs or on a user's own."""
