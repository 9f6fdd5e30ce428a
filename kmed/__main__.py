"""`python -m kmed` is `kmed`."""

from kmed.cli import main

if __name__ == "__main__":
    main()
