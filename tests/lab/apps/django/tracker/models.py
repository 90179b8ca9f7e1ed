from django.db import models


class User(models.Model):
    name = models.CharField(max_length=150, unique=True)
    email = models.EmailField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)


class Account(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="accounts")
    name = models.CharField(max_length=100)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="tracker_account_user_name")]


class Campaign(models.Model):
    """One wheel on one underlying: puts sold until assigned, then calls sold until called away."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="campaigns")
    symbol = models.CharField(max_length=10, db_index=True)
    opened_on = models.DateField()
    closed_on = models.DateField(null=True, blank=True)


class Transaction(models.Model):
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="transactions")
    kind = models.CharField(max_length=20)
    contracts = models.PositiveIntegerField(default=1)
    premium = models.DecimalField(max_digits=10, decimal_places=2)
    traded_at = models.DateTimeField()
