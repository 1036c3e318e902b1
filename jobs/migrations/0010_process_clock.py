from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0009_one_order'),
    ]

    operations = [
        migrations.CreateModel(
            name='ProcessClock',
            fields=[
                ('name', models.CharField(max_length=255, primary_key=True, serialize=False, verbose_name='clock')),
                ('host', models.CharField(max_length=255, verbose_name='host')),
                ('skew_seconds', models.FloatField(default=0.0, verbose_name='seconds ahead')),
                ('measured_at', models.DateTimeField(verbose_name='measured')),
                ('over_since', models.DateTimeField(null=True, verbose_name='wrong since')),
            ],
            options={
                'verbose_name': 'process clock',
                'verbose_name_plural': 'process clocks',
            },
        ),
    ]
