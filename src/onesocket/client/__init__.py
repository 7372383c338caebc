"""The asyncio shell: performs effects, fans out."""
