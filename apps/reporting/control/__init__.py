"""Remote control by Telegram: who speaks, what they may do, what is done, what is answered."""
