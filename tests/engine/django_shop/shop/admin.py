"""The shop's part of the administration pages."""

from django.contrib import admin

from shop.models import Item

admin.site.register(Item, list_display=("name", "code", "added"))
