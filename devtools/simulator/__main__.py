"""Start the simulator: `python -m devtools.simulator`."""

from devtools.simulator.platforms import main

if __name__ == "__main__":
    main()
