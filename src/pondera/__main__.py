"""`python -m pondera`, for where the script is not on the path, and for torchrun and accelerate."""

from pondera.cli import main

if __name__ == "__main__":
    main()
