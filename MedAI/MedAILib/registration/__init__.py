"""Registration of two volumes: the engine, what it is asked and what it answers."""
