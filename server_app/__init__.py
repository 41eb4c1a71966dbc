"""An ordinary Flask application on SQLite: users, their posts, and nothing that knows it may be observed."""

from server_app.app import create_app

__all__ = ["create_app"]
