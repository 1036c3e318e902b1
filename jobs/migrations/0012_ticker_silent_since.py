from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0011_ticker_worked_at'),
    ]

    operations = [
        migrations.AddField(
            model_name='ticker',
            name='silent_since',
            field=models.DateTimeField(null=True, verbose_name='stands still since'),
        ),
    ]
