"""What people look at: completions as pictures, with marked text. It knows no trainer and no rows."""
