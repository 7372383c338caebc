"""Auth-gated, lazily built, and it gives notice."""
