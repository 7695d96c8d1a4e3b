"""Run the command: ``geoindex`` and ``python -m geoindex``."""

from geoindex._bundle_path import put_bundle_first


def main() -> None:
    """Open the command."""
    put_bundle_first()
    from cli.app import run

    run()


if __name__ == "__main__":
    main()
