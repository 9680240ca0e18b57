"""Training of the network that answers clicks: objects to find, prompts as a user gives them, rounds of both."""
