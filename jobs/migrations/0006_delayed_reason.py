from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0005_chinese_calendar"),
    ]

    operations = [
        migrations.AddField(
            model_name="delayedjob",
            name="reason",
            field=models.CharField(blank=True, default="", max_length=64, verbose_name="reason"),
            preserve_default=False,
        ),
    ]
