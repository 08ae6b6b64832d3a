"""The exchange's private side without a wire: accounts, orders, matching against its own prices, and order faults."""
