"""The build steps, one file each."""
