"""A trained population in real time: a clock, a session, what records it, and where behaviour comes from."""
