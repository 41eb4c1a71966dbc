"""``python -m server_app``: serve the application with Flask's own threaded server."""

import argparse

from server_app.app import create_app


def main() -> None:
    """Parse the address, then serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m server_app",
        description="Users and posts over HTTP. The database file is named by DB_FILE (default: app.db).",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=5000, type=int, help="0 picks a free port (default: %(default)s)")
    parser.add_argument(
        "--hazards",
        nargs="?",
        const="",
        metavar="NAME,...",
        help="also serve endpoints that show sources of nondeterminism: all, or those named. For tests only",
    )
    arguments = parser.parse_args()
    app = create_app()
    if arguments.hazards is not None:
        from server_app import hazards  # noqa: PLC0415 - off by default, to its imports

        names = [name for name in arguments.hazards.split(",") if name]
        if unknown := [name for name in names if name not in hazards.HAZARDS]:
            parser.error(f"no such hazard: {', '.join(unknown)}")
        app.register_blueprint(hazards.blueprint(names))
    app.run(host=arguments.host, port=arguments.port, threaded=True)


if __name__ == "__main__":
    main()
