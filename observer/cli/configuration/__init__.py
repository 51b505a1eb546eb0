"""What was written in configuration files and on the command line, and what its ``${..}`` stand for."""
