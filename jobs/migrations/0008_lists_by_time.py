from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0007_claim_past_queues"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["owner", "created_at", "id"], name="job_by_time"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["owner", "status", "created_at", "id"], name="job_by_time_status"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["owner", "agent", "created_at", "id"], name="job_by_time_agent"),
        ),
        migrations.RemoveIndex(model_name="job", name="job_list"),
        migrations.RemoveIndex(model_name="job", name="job_list_status"),
        migrations.RemoveIndex(model_name="job", name="job_list_agent"),
    ]
