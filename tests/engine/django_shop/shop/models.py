"""What is sold."""

import uuid

from django.db import models


class Item(models.Model):
    """A thing in the shop."""

    name = models.CharField(max_length=100)
    code = models.UUIDField(default=uuid.uuid4)
    added = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name
