"""New agents act for themselves until their owner says otherwise."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0004_acts_for_owner'),
    ]

    operations = [
        migrations.AlterField(
            model_name='agent',
            name='acts_for_owner',
            field=models.BooleanField(default=False, verbose_name='acts for its owner'),
        ),
    ]
