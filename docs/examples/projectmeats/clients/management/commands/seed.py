from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from clients.models import Client


class Command(BaseCommand):
    help = "Gives a tenant suppliers to try things with; safe to run again."

    def add_arguments(self, parser):
        parser.add_argument("tenant")

    def handle(self, *args, tenant, **options):
        if not Client.objects.filter(schema_name=tenant).exists():
            raise CommandError(f"there is no tenant {tenant}: nothing to seed", returncode=3)
        with connection.cursor() as cursor:
            for supplier in ("Hill Farm", "River Farm"):
                cursor.execute(f'INSERT INTO "{tenant}".suppliers (name) VALUES (%s) ON CONFLICT DO NOTHING', [supplier])
        self.stdout.write(f"{tenant}: seeded")
