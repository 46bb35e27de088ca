"""`python -m pondera.cli`, for where the script is not on the path."""

from pondera.cli import main

if __name__ == "__main__":
    main()
