import re

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from clients.models import Client


class Command(BaseCommand):
    help = "Creates the tenants of settings.TENANTS that are missing; safe to run again."

    def handle(self, *args, **options):
        for name in settings.TENANTS:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name in ("public", "deploy_agent"):
                raise CommandError(f"{name} cannot be the name of a tenant's schema")
            with transaction.atomic(), connection.cursor() as cursor:
                _, created = Client.objects.get_or_create(schema_name=name, defaults={"name": name.title()})
                cursor.execute(f'CREATE SCHEMA IF NOT EXISTS "{name}"')
            self.stdout.write(f"{name}: {'created' if created else 'exists'}")
