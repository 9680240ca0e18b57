"""What happens between an image and its result. Only ``request`` is imported outside the worker."""
