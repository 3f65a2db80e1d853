"""`python -m hpo`."""

from hpo.app import main

if __name__ == "__main__":
    main()
