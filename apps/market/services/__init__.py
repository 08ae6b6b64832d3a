"""Writing prices: quotes, and what follows from ticks."""
