"""What is in a ladder: figures of its columns, a table for the terminal, a picture."""
