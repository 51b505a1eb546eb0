"""Does a model look? The same rows asked with other pictures and other observations."""
