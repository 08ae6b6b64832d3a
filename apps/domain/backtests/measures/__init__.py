"""What a finished backtest measures, one subject a module; `statistics` puts them together."""
