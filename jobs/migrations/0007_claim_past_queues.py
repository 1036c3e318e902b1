from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0006_delayed_reason")]

    operations = [
        migrations.RemoveIndex(model_name="job", name="job_claim"),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["agent", "status", "queue", "active_at", "id"], name="job_claim"),
        ),
    ]
