"""Training of the diffusion model that generates slices between measured ones."""
