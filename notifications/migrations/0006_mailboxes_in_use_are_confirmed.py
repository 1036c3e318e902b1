from django.db import migrations
from django.db.models import F


def confirm_mailboxes(apps, schema_editor):
    """Confirm the mailboxes that were added before confirmation existed."""
    apps.get_model("notifications", "Channel").objects.filter(driver="email").update(confirmed_at=F("created_at"))


class Migration(migrations.Migration):

    dependencies = [
        ('notifications', '0005_channel_confirmed_at'),
    ]

    operations = [
        migrations.RunPython(confirm_mailboxes, migrations.RunPython.noop),
    ]
