"""`python -m awlog` is `awlog`."""

from awlog.cli.main import main

if __name__ == "__main__":
    main()
