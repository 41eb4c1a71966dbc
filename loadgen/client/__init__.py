"""The load client: virtual users, scenarios, the recording transport, and the replay of a transcript."""
