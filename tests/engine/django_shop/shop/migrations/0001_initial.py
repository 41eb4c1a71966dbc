import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            name="Item",
            fields=[
                ("id", models.AutoField(primary_key=True)),
                ("name", models.CharField(max_length=100)),
                ("code", models.UUIDField(default=uuid.uuid4)),
                ("added", models.DateTimeField(auto_now_add=True)),
            ],
        )
    ]
