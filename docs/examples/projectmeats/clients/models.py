from django.db import models


class Client(models.Model):
    """A tenant: what is its own is in the schema of its name."""

    schema_name = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
