"""Stand-ins for the servers that syncservice talks to: for tests, benches and the demo."""
