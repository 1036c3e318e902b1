
import django.db.models.deletion
import kernel.fields
import kernel.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0012_ticker_silent_since'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='DueEvaluation',
            fields=[
                ('id', kernel.fields.IdField(default=kernel.ids.new_id, editable=False, max_length=36, primary_key=True, serialize=False)),
                ('subject', models.CharField(blank=True, max_length=120, verbose_name='subject')),
                ('number', models.PositiveIntegerField(verbose_name='number of the move')),
                ('after', models.CharField(choices=[('queuing', 'queuing'), ('sent', 'sent'), ('running', 'running'), ('succeeded', 'succeeded'), ('failed', 'failed'), ('expired', 'expired'), ('canceled', 'canceled')], max_length=16, verbose_name='status')),
                ('late', models.BooleanField(default=False, verbose_name='late')),
                ('ended_at', models.DateTimeField(verbose_name='ended at')),
                ('attempts', models.PositiveSmallIntegerField(default=0, verbose_name='attempts')),
                ('claimed_until', models.DateTimeField(null=True, verbose_name='claimed until')),
                ('failed_at', models.DateTimeField(null=True, verbose_name='failed at')),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='evaluations', to='jobs.job', verbose_name='job')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='due_evaluations', to=settings.AUTH_USER_MODEL, verbose_name='owner')),
            ],
            options={
                'verbose_name': 'end to evaluate',
                'verbose_name_plural': 'ends to evaluate',
                'indexes': [models.Index(fields=['failed_at', 'owner', 'ended_at', 'id'], name='evaluation_due')],
                'constraints': [models.UniqueConstraint(fields=('job', 'number'), name='evaluation_once')],
            },
        ),
    ]
