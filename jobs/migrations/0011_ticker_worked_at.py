from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0010_process_clock'),
    ]

    operations = [
        migrations.AddField(
            model_name='ticker',
            name='worked_at',
            field=models.DateTimeField(null=True, verbose_name='last look for due work'),
        ),
    ]
