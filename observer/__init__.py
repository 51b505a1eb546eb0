"""GRPO post-training of vision-language models with verifiable rewards, on PyTorch Lightning.

Importing this package imports nothing heavy; see ``observer.types`` for the data that flows through it.
"""

__version__ = "0.1.0"
