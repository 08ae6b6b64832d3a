"""The WebSocket gateway at /ws/v1: events and quotes as they happen, to each user only what the user may see."""
