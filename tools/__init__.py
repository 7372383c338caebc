"""Scripts for the maintainers; nothing of this is shipped."""
