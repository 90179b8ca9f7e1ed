from django.db import models

from tracker.models import User


class OptionsWatch(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="watches")
    symbol = models.CharField(max_length=10)
    strike = models.DecimalField(max_digits=10, decimal_places=2)
    expires_on = models.DateField()
