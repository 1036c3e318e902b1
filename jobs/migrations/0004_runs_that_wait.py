from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0003_time_and_queues"),
    ]

    operations = [
        migrations.AddField(
            model_name="schedulerun",
            name="awaits",
            field=models.CharField(max_length=36, null=True, verbose_name="waits for"),
        ),
        migrations.AlterField(
            model_name="schedulerun",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("started", "started"),
                    ("waiting", "waits for the run before it"),
                    ("missed", "missed"),
                    ("overlapped", "the run before had not ended"),
                    ("blackout", "within a blackout window"),
                    ("paused", "paused"),
                    ("day_off", "not a working day"),
                    ("refused", "refused"),
                ],
                max_length=16,
                verbose_name="outcome",
            ),
        ),
        migrations.AddIndex(
            model_name="schedulerun",
            index=models.Index(fields=["outcome", "schedule", "due_at"], name="schedule_run_waiting"),
        ),
        migrations.AddIndex(
            model_name="schedulerun",
            index=models.Index(fields=["schedule", "id"], name="schedule_run_list"),
        ),
    ]
