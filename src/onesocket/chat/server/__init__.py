"""The chat server: a store, what people may do with it, HTTP and the gateway."""
