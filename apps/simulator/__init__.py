"""An exchange on loopback in Coinbase Exchange's dialect: WebSocket feed, REST, a seeded market, and faults."""
