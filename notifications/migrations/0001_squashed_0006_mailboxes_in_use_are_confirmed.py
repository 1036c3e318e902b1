"""All tables as 0001 to 0006 leave them, for a new database: an existing one has gone that way step by step."""

import django.db.models.deletion
import kernel.fields
import kernel.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [('notifications', '0001_initial'), ('notifications', '0002_messages'), ('notifications', '0003_callbacks'), ('notifications', '0004_forgetting'), ('notifications', '0005_channel_confirmed_at'), ('notifications', '0006_mailboxes_in_use_are_confirmed')]

    initial = True

    dependencies = [
        ('accounts', '0003_user_bonus_agents'),
        ('accounts', '__first__'),
    ]

    operations = [
        migrations.CreateModel(
            name='PaceMeter',
            fields=[
                ('id', kernel.fields.IdField(default=kernel.ids.new_id, editable=False, max_length=36, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=64, unique=True, verbose_name='what is counted')),
                ('times', models.JSONField(default=list, verbose_name='times')),
            ],
            options={
                'verbose_name': 'pace',
                'verbose_name_plural': 'paces',
            },
        ),
        migrations.CreateModel(
            name='SigningSecret',
            fields=[
                ('owner', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='signing_secret', serialize=False, to=settings.AUTH_USER_MODEL, verbose_name='owner')),
                ('sealed', models.CharField(editable=False, max_length=255, verbose_name='sealed secret')),
                ('old_sealed', models.CharField(blank=True, editable=False, max_length=255, verbose_name='sealed old secret')),
                ('old_until', models.DateTimeField(null=True, verbose_name='old secret until')),
                ('changed_at', models.DateTimeField(verbose_name='changed at')),
            ],
            options={
                'verbose_name': 'signing secret',
                'verbose_name_plural': 'signing secrets',
            },
        ),
        migrations.CreateModel(
            name='Channel',
            fields=[
                ('id', kernel.fields.IdField(default=kernel.ids.new_id, editable=False, max_length=36, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=50, verbose_name='name')),
                ('driver', models.CharField(max_length=32, verbose_name='service')),
                ('position', models.PositiveSmallIntegerField(default=0, verbose_name='position')),
                ('levels', models.JSONField(default=list, verbose_name='levels')),
                ('sealed', models.TextField(blank=True, editable=False, verbose_name='sealed settings')),
                ('account', models.CharField(blank=True, max_length=64, verbose_name='account')),
                ('address', models.CharField(max_length=128, null=True, verbose_name='address')),
                ('enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('off_reason', models.CharField(blank=True, max_length=64, verbose_name='switched off because')),
                ('off_at', models.DateTimeField(null=True, verbose_name='switched off at')),
                ('quiet_from', models.TimeField(null=True, verbose_name='quiet from')),
                ('quiet_until', models.TimeField(null=True, verbose_name='quiet until')),
                ('last_sent_at', models.DateTimeField(null=True, verbose_name='last message at')),
                ('confirmed_at', models.DateTimeField(null=True, verbose_name='confirmed at')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('changed_at', models.DateTimeField(verbose_name='changed at')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='channels', to=settings.AUTH_USER_MODEL, verbose_name='owner')),
            ],
            options={
                'verbose_name': 'channel',
                'verbose_name_plural': 'channels',
                'constraints': [models.UniqueConstraint(fields=('owner', 'name'), name='channel_name_once'), models.UniqueConstraint(fields=('driver', 'account', 'address'), name='channel_address_once')],
            },
        ),
        migrations.CreateModel(
            name='ChatCredit',
            fields=[
                ('id', kernel.fields.IdField(default=kernel.ids.new_id, editable=False, max_length=36, primary_key=True, serialize=False)),
                ('account', models.CharField(max_length=64, verbose_name='account')),
                ('address', models.CharField(max_length=128, verbose_name='address')),
                ('ends_at', models.DateTimeField(verbose_name='window ends')),
                ('used', models.PositiveIntegerField(default=0, verbose_name='used')),
                ('limit', models.PositiveIntegerField(verbose_name='limit')),
                ('learned', models.PositiveIntegerField(null=True, verbose_name='learned limit')),
                ('refused_at', models.PositiveIntegerField(null=True, verbose_name='refused after')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='chat_credits', to=settings.AUTH_USER_MODEL, verbose_name='owner')),
            ],
            options={
                'verbose_name': 'chat credit',
                'verbose_name_plural': 'chat credits',
                'constraints': [models.UniqueConstraint(fields=('account', 'address'), name='chat_credit_once'), models.CheckConstraint(condition=models.Q(('used__lte', models.F('limit'))), name='chat_credit_within_limit')],
            },
        ),
        migrations.CreateModel(
            name='Message',
            fields=[
                ('id', kernel.fields.IdField(default=kernel.ids.new_id, editable=False, max_length=36, primary_key=True, serialize=False)),
                ('title', models.CharField(blank=True, max_length=128, verbose_name='title')),
                ('text', models.TextField(max_length=65536, verbose_name='text')),
                ('format', models.CharField(choices=[('text', 'plain text'), ('markdown', 'Markdown')], default='text', max_length=10, verbose_name='format')),
                ('level', models.CharField(choices=[('info', 'information'), ('warning', 'warning'), ('error', 'error')], default='info', max_length=10, verbose_name='level')),
                ('source', models.CharField(blank=True, max_length=255, verbose_name='source')),
                ('colour', models.CharField(max_length=7, verbose_name='colour')),
                ('url', models.CharField(blank=True, max_length=1024, verbose_name='link')),
                ('mentions', models.JSONField(default=list, verbose_name='mentions')),
                ('agent_id', models.CharField(blank=True, max_length=36, verbose_name='agent')),
                ('count', models.PositiveIntegerField(default=1, verbose_name='count')),
                ('key', models.CharField(blank=True, max_length=64, verbose_name='key')),
                ('idempotency_digest', models.CharField(max_length=64, null=True, verbose_name='idempotency key')),
                ('request_digest', models.CharField(max_length=64, verbose_name='request')),
                ('not_before', models.DateTimeField(null=True, verbose_name='not before')),
                ('withdrawn_at', models.DateTimeField(null=True, verbose_name='withdrawn at')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='messages', to=settings.AUTH_USER_MODEL, verbose_name='owner')),
            ],
            options={
                'verbose_name': 'message',
                'verbose_name_plural': 'messages',
                'indexes': [models.Index(fields=['owner', 'id'], name='message_list'), models.Index(fields=['owner', 'request_digest', 'created_at'], name='message_same'), models.Index(fields=['owner', 'key', 'id'], name='message_key')],
                'constraints': [models.UniqueConstraint(fields=('owner', 'idempotency_digest'), name='message_idempotency')],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', kernel.fields.IdField(default=kernel.ids.new_id, editable=False, max_length=36, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('message', 'message'), ('callback', 'callback'), ('event', 'event')], max_length=32, verbose_name='kind')),
                ('subject', models.CharField(max_length=128, verbose_name='subject')),
                ('target', models.CharField(max_length=255, verbose_name='target')),
                ('dedupe_key', models.CharField(max_length=191, unique=True, verbose_name='dedupe key')),
                ('way', models.CharField(blank=True, choices=[('', 'as it comes'), ('template', 'template message'), ('text', 'text in the chat'), ('auto', 'text, else template')], max_length=10, verbose_name='way')),
                ('fallback', models.JSONField(default=list, verbose_name='else')),
                ('reserved', models.CharField(blank=True, max_length=64, verbose_name='counted by')),
                ('payload', models.JSONField(verbose_name='payload')),
                ('lane', models.CharField(max_length=191, verbose_name='lane')),
                ('state', models.CharField(choices=[('pending', 'pending'), ('in_flight', 'in flight'), ('sent', 'sent out'), ('retry', 'waiting to be tried again'), ('dead', 'given up'), ('withdrawn', 'withdrawn')], default='pending', max_length=16, verbose_name='state')),
                ('tries', models.PositiveSmallIntegerField(default=0, verbose_name='tries')),
                ('lost_tries', models.PositiveSmallIntegerField(default=0, verbose_name='tries without an end')),
                ('unheard', models.BooleanField(default=False, verbose_name='a try went unheard')),
                ('due_at', models.DateTimeField(verbose_name='due at')),
                ('claimed_until', models.DateTimeField(null=True, verbose_name='claimed until')),
                ('fault', models.CharField(blank=True, max_length=16, verbose_name='fault')),
                ('provider_code', models.CharField(blank=True, max_length=64, verbose_name="provider's code")),
                ('provider_id', models.CharField(blank=True, max_length=128, verbose_name="provider's id")),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='ended at')),
                ('channel', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='deliveries', to='notifications.channel', verbose_name='channel')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to=settings.AUTH_USER_MODEL, verbose_name='owner')),
                ('message', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='notifications.message', verbose_name='message')),
            ],
            options={
                'verbose_name': 'delivery',
                'verbose_name_plural': 'deliveries',
                'indexes': [models.Index(fields=['state', 'due_at'], name='delivery_due'), models.Index(fields=['state', 'claimed_until'], name='delivery_claimed'), models.Index(fields=['subject', 'created_at'], name='delivery_subject'), models.Index(fields=['kind', 'ended_at'], name='delivery_old'), models.Index(fields=['channel', 'state'], name='delivery_channel')],
            },
        ),
        migrations.CreateModel(
            name='MessageAction',
            fields=[
                ('id', kernel.fields.IdField(default=kernel.ids.new_id, editable=False, max_length=36, primary_key=True, serialize=False)),
                ('number', models.PositiveSmallIntegerField(verbose_name='number')),
                ('label', models.CharField(max_length=64, verbose_name='label')),
                ('agent', models.CharField(max_length=50, verbose_name='agent')),
                ('text', models.CharField(max_length=4096, verbose_name='job')),
                ('once', models.BooleanField(default=True, verbose_name='only once')),
                ('expires_at', models.DateTimeField(verbose_name='expires at')),
                ('taken_at', models.DateTimeField(null=True, verbose_name='taken at')),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='actions', to='notifications.message', verbose_name='message')),
            ],
            options={
                'verbose_name': 'action',
                'verbose_name_plural': 'actions',
                'constraints': [models.UniqueConstraint(fields=('message', 'number'), name='message_action_number')],
            },
        ),
        migrations.CreateModel(
            name='ShutTarget',
            fields=[
                ('id', kernel.fields.IdField(default=kernel.ids.new_id, editable=False, max_length=36, primary_key=True, serialize=False)),
                ('digest', models.CharField(max_length=64, verbose_name='digest of the address')),
                ('shut_at', models.DateTimeField(verbose_name='shut at')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='shut_targets', to=settings.AUTH_USER_MODEL, verbose_name='owner')),
            ],
            options={
                'verbose_name': 'address that was shut',
                'verbose_name_plural': 'addresses that were shut',
                'constraints': [models.UniqueConstraint(fields=('owner', 'digest'), name='shut_target_once')],
            },
        ),
    ]
