"""Row formats, one file each: how rows of a kind of file become problems."""
