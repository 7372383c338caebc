"""What the application knows: plain values, and functions from what happened to what is known then. No I/O."""
