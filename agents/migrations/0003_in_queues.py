from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("agents", "0002_tags")]

    operations = [
        migrations.AddField(
            model_name="agent",
            name="in_queues",
            field=models.BooleanField(default=False, verbose_name="in queues"),
        ),
    ]
