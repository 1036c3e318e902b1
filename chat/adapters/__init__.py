"""The doors: one file for each platform through which people talk to us. Each hears, asks the commands, and answers."""
