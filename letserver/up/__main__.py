"""`python -m letserver.up`."""

from letserver.up.start import main

if __name__ == "__main__":
    raise SystemExit(main())
