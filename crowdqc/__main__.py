"""``python -m crowdqc`` is ``crowdqc``."""

from crowdqc.cli import main

if __name__ == "__main__":
    main()
