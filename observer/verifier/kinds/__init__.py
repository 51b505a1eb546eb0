"""The kinds of answers, one file each: how they are read and compared."""
