"""Run Django's commands; before it serves, the database is prepared."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    from django.core.management import execute_from_command_line

    if "runserver" in sys.argv:
        import shop.wsgi  # noqa: F401 - which prepares it

    execute_from_command_line(sys.argv)
