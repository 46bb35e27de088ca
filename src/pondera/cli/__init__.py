"""The command line: arguments in, text out; heavy imports inside the commands."""
