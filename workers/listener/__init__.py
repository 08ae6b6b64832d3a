"""The tick listener: turns an exchange's ticks into exits, durable before anybody is told."""
