"""``python -m observer.cli`` is ``observer``."""

from observer.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
