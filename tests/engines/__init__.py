"""Other projects' WebSocket engines behind one interface, each as a server and as a client."""
