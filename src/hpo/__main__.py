"""`python -m hpo`."""

from hpo import garbage

if __name__ == "__main__":
    garbage.leave()  # as the command does once it has been imported
    from hpo.app import main

    main()
