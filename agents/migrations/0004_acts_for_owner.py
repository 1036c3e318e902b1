"""Agents that exist keep what every agent of the original may do."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0003_in_queues'),
    ]

    operations = [
        migrations.AddField(
            model_name='agent',
            name='acts_for_owner',
            field=models.BooleanField(default=True, verbose_name='acts for its owner'),
        ),
    ]
