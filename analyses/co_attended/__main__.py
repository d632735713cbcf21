"""Ask this question of a result folder: ``python -m analyses.co_attended --help``."""

from analyses.shared.script import run_as_script

if __name__ == "__main__":
    run_as_script(__package__)
