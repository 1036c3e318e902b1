from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0013_due_evaluations"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["owner", "source", "created_at", "id"], name="job_by_time_source"),
        ),
    ]
