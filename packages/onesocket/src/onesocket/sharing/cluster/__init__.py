"""One connection for the hosts of a fleet: `scope="cluster"`, coordinated by an engine that exists (Redis, NATS)."""
