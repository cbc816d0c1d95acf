"""Training of focal's two built-in models, from the pool in ../shared/train."""
